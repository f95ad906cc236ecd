// Has the verifier of the Sigstore project check bundles against a key, and what they say against a file:
//     node ask_sigstore.cjs NODE_MODULES KEY.pem FILE BUNDLE…
// Prints one line of JSON for each bundle: its predicate type, or why it is not believed.
const { createHash, createPublicKey } = require("node:crypto");
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const [modules, pem, file, ...bundles] = process.argv.slice(2);
const { bundleFromJSON } = require(join(modules, "@sigstore/bundle"));
const { Verifier, toSignedEntity } = require(join(modules, "@sigstore/verify"));

const trust = {
  certificateAuthorities: [],
  timestampAuthorities: [],
  tlogs: [],
  ctlogs: [],
  publicKey: () => ({ publicKey: createPublicKey(readFileSync(pem)), validFor: () => true }),
};
const verifier = new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
const digest = createHash("sha256").update(readFileSync(file)).digest("hex");

for (const path of bundles) {
  let said;
  try {
    const bundle = bundleFromJSON(JSON.parse(readFileSync(path, "utf8")));
    verifier.verify(toSignedEntity(bundle));
    const statement = JSON.parse(bundle.content.dsseEnvelope.payload.toString("utf8"));
    if (!statement.subject.some((subject) => subject.digest.sha256 === digest)) throw new Error("it is about no such file");
    said = { predicate: statement.predicateType };
  } catch (error) {
    said = { refused: String(error.message) };
  }
  console.log(JSON.stringify(said));
}
