// SMART's JavaScript client, as a script on a server uses it.
import FHIR from "fhirclient";

const request = { headers: { host: "localhost" }, url: "/", socket: {} };
const session = { get: async () => undefined, set: async () => {}, unset: async () => false };
const client = FHIR(request, {}, session).client(process.argv[2]);
const ids = (resources) => resources.map((one) => one.id).join(" ");
const status = (asked) => asked.then(() => 200, (refused) => refused.status ?? refused.statusCode);
const said = {};

said.release = await client.getFhirRelease();
said.pages = ids(await client.request("Task?_count=1&_sort=-_lastUpdated", { pageLimit: 0, flat: true }));
const walked = [];
await client.request("Task?_count=3", { pageLimit: 0, onPage: (page) => walked.push(page.entry.length) });
said.walked = walked.join(" ");
const resolved = await client.request("Task/t0", { resolveReferences: ["owner", "for"] });
said.resolved = [resolved.owner.name, resolved.for.name[0].family].join(" ");
const graph = await client.request("Task?_id=t0,t1", { resolveReferences: ["owner"], graph: false, flat: true });
said.references = Object.keys(graph.references).join(" ");

const child = await client.create({ resourceType: "Patient", name: [{ family: "Smart" }] });
const of = `Patient/${child.id}`;
const woman = await client.update({ ...child, gender: "female" });
const man = await client.patch(of, [{ op: "replace", path: "/gender", value: "male" }]);
said.changed = [woman.gender, man.gender, man.meta.versionId].join(" ");
said.past = (await client.request(`${of}/_history`)).entry.map((one) => one.resource.meta.versionId).join("");
said.everything = (await client.request(`${of}/$everything`, { flat: true })).length;
const findings = await client.request({
  url: "Patient/$validate", method: "POST", body: JSON.stringify(man), headers: { "Content-Type": "application/fhir+json" } });
said.errors = findings.issue.filter((one) => one.severity === "error").length;
said.headers = (await client.request({ url: of, includeResponse: true })).response.headers.get("etag");
await client.delete(of);
said.gone = await status(client.request(of));
said.none = await status(client.request("Patient/none"));
said.strict = await status(client.request("Task?colour=red"));

console.log(JSON.stringify(said));
