// Medplum's client, which is made for its own server, as its users write it.
import { MedplumClient } from "@medplum/core";

const base = new URL(process.argv[2]);
const client = new MedplumClient({
  baseUrl: `${base.origin}/`, fhirUrlPath: base.pathname.slice(1), fetch, cacheTime: 0 });
const ids = (found) => found.map((one) => one.id).join(" ");
const code = (asked) => asked.then(() => "", (refused) => refused.outcome.issue[0].code);
const said = {};

said.total = (await client.search("Task", "status=requested&_count=1&_total=accurate")).total;
said.sorted = ids(await client.searchResources("Task", { status: "requested", _sort: "-_lastUpdated" }));
said.one = (await client.searchOne("Patient", "name=exam")).id;
const walked = [];
for await (const page of client.searchResourcePages("Task", "_count=3")) walked.push(...page);
said.pages = ids(walked);
said.strict = await code(client.search("Task", "colour=red"));

const child = await client.createResource({ resourceType: "Patient", name: [{ family: "Medplum" }] });
const woman = await client.updateResource({ ...child, gender: "female" });
const man = await client.patchResource("Patient", child.id, [{ op: "replace", path: "/gender", value: "male" }]);
said.changed = [woman.gender, man.gender, man.meta.versionId].join(" ");
said.past = (await client.readHistory("Patient", child.id)).entry.length;
said.first = (await client.readVersion("Patient", child.id, "1")).meta.versionId;
said.severities = [...new Set((await client.validateResource(man)).issue.map((one) => one.severity))];
await client.deleteResource("Patient", child.id);
said.gone = await code(client.readResource("Patient", child.id));

const named = { resourceType: "Organization", name: "Medplum", identifier: [{ system: "http://medplum.example.org", value: "1" }] };
const where = "identifier=http://medplum.example.org|1";
const made = await client.createResourceIfNoneExist(named, where);
const again = await client.createResourceIfNoneExist(named, where);
const upserted = await client.upsertResource({ ...named, active: true }, where);
said.conditional = `${made.id === again.id} ${upserted.id === made.id} ${upserted.active}`;
const done = await client.executeBatch({ resourceType: "Bundle", type: "transaction", entry: [
  { request: { method: "GET", url: "Patient/rosa" } },
  { request: { method: "DELETE", url: `Organization/${made.id}` } }] });
said.transaction = done.entry.map((one) => one.response.status.slice(0, 3)).join(" ");
const file = await client.createBinary({ data: "hello", contentType: "text/plain" });
said.file = file.contentType;
await client.deleteResource("Binary", file.id);

console.log(JSON.stringify(said));
