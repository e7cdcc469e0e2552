// fhir-kit-client as its users write it; prints what came back, by name.
import { Client } from "fhir-kit-client";

const client = new Client({ baseUrl: process.argv[2] });
const ids = (bundle) => (bundle.entry ?? []).map((one) => one.resource.id).join(" ");
const status = (asked) => asked.then(() => 200, (refused) => refused.response.status);
const said = {};

said.version = (await client.capabilityStatement()).fhirVersion;
said.token = new URL((await client.smartAuthMetadata()).tokenUrl).pathname;
const asked = { resourceType: "Task", searchParams: { status: "requested", _count: "1" } };
const first = await client.search(asked);
const second = await client.nextPage({ bundle: first });
said.pages = [ids(first), ids(second), ids(await client.prevPage({ bundle: second }))].join(" ");
said.posted = ids(await client.search({ ...asked, options: { postSearch: true } }));
said.several = ids(await client.search({
  resourceType: "Task", searchParams: { "status:not": ["completed", "accepted"], _include: "Task:owner" } }));
said.held = ids(await client.compartmentSearch({
  resourceType: "Task", compartment: { resourceType: "Patient", id: "rosa" } }));
said.system = ids(await client.systemSearch({ searchParams: { _type: "Organization", _id: "north" } }));
said.strict = await status(client.search({ resourceType: "Task", searchParams: { colour: "red" } }));

const child = await client.create({
  resourceType: "Patient", body: { resourceType: "Patient", name: [{ family: "Kit" }] } });
const of = { resourceType: "Patient", id: child.id };
const woman = await client.update({ ...of, body: { ...child, gender: "female" } });
const man = await client.patch({ ...of, jsonPatch: [{ op: "replace", path: "/gender", value: "male" }] });
said.changed = [woman.gender, man.gender, man.meta.versionId].join(" ");
said.past = (await client.history(of)).entry.map((one) => one.resource.meta.versionId).join("");
said.first = (await client.vread({ ...of, version: "1" })).meta.versionId;
said.everything = (await client.operation({ name: "everything", ...of, method: "GET" })).entry.length;
said.found = (await client.resolve({ reference: `Patient/${child.id}` })).gender;
await client.delete(of);
said.gone = await status(client.read(of));

const named = { resourceType: "Organization", identifier: [{ system: "http://kit.example.org", value: "1" }] };
const conditional = { resourceType: "Organization", searchParams: { identifier: "http://kit.example.org|1" } };
const made = await client.update({ ...conditional, body: { ...named, name: "Kit" } });
const again = await client.update({ ...conditional, body: { ...named, name: "Kit again" } });
said.conditional = `${made.id === again.id} ${again.name}`;
const entry = [
  { request: { method: "GET", url: "Patient/rosa" } },
  { request: { method: "DELETE", url: `Organization/${made.id}` } },
];
const done = await client.transaction({ body: { resourceType: "Bundle", type: "transaction", entry } });
said.transaction = done.entry.map((one) => one.response.status.slice(0, 3)).join(" ");
const batch = await client.batch({ body: { resourceType: "Bundle", type: "batch", entry } });
said.batch = batch.entry.map((one) => one.response.status.slice(0, 3)).join(" ");

{
  const letter = Buffer.from("hello").toString("base64");
  const binary = await client.create({
    resourceType: "Binary", body: { resourceType: "Binary", contentType: "text/plain", data: letter } });
  said.binary = (await client.read({ resourceType: "Binary", id: binary.id })).data === letter;
  const held = await client.create({ resourceType: "Patient", body: { resourceType: "Patient", active: true } });
  const guard = { options: { headers: { "If-Match": 'W/"7"' } } };
  said.stale = await status(client.update({ resourceType: "Patient", id: held.id, body: held, ...guard }));
  const found = await client.operation({
    name: "validate", resourceType: "Patient", input: { resourceType: "Patient", gender: "unknown?" } });
  said.validated = found.issue.filter((one) => one.severity === "error").map((one) => one.code).join(" ");
  let page = await client.operation({ name: "everything", resourceType: "Patient", id: "rosa", method: "GET", input: { _count: 2 } });
  const walked = [];
  while (page) {
    walked.push(page.entry.length);
    page = await client.nextPage({ bundle: page });
  }
  said.walked = walked.join(" ");
  const once = { resourceType: "Basic", code: { text: "once" }, identifier: [{ system: "http://kit.example.org", value: "b" }] };
  const conditional = { resource: once, request: { method: "POST", url: "Basic", ifNoneExist: "identifier=http://kit.example.org|b" } };
  const bundle = (type, ...entry) => ({ body: { resourceType: "Bundle", type, entry } });
  const both = [await client.batch(bundle("batch", conditional)), await client.transaction(bundle("transaction", conditional))];
  said.once = both.map((one) => one.entry[0].response.status.slice(0, 3)).join(" ");
  said.refused = (await client.batch(bundle("batch", { request: { method: "GET", url: "Patient/none" } }, { request: { method: "GET", url: "Task?_id=t0" } })))
    .entry.map((one) => one.response.status.slice(0, 3)).join(" ");
  said.typed = (await client.typeHistory({ resourceType: "Basic" })).entry.length;
  said.all = (await client.systemHistory()).entry.length > 5;
}

console.log(JSON.stringify(said));
