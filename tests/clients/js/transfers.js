/** Files, data and JSON both ways over the daemon's own sockets; 0 bytes and several chunks among them. */
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { assert, order, run, withNetwork } = require("./common.js");

// A chunk has 40 KiB; the last one is some 50 of them.
const SIZES = [0, 1, 40 * 1024 - 1, 40 * 1024, 40 * 1024 + 1, 2_000_003];

/** Bytes that can be told from any others. */
function content(size) {
  // Not a Buffer: golem-js sends the wrong part of one.
  const data = new Uint8Array(size);
  let state = size + 1;
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    data[at] = state >>> 16;
  }
  return data;
}

const sum = (data) => createHash("sha256").update(data).digest("hex");

async function bothWays(exe, folder) {
  for (const size of SIZES) {
    const data = content(size);
    const [sent, back] = [path.join(folder, `sent-${size}`), path.join(folder, `back-${size}`)];
    fs.writeFileSync(sent, data);
    assert.equal((await exe.uploadFile(sent, `/golem/input/file-${size}`)).result, "Ok");
    const there = await exe.run(`sha256sum < /golem/input/file-${size} | cut -d' ' -f1`);
    assert.equal(there.stdout.trim(), sum(data), `${size} bytes arrived wrong`);
    assert.equal((await exe.downloadFile(`/golem/input/file-${size}`, back)).result, "Ok");
    assert.equal(sum(fs.readFileSync(back)), sum(data), `${size} bytes came back wrong`);
  }
}

run(() =>
  withNetwork(async (glm) => {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "golem-js-transfers-"));
    const rental = await glm.oneOf({ order: order() });
    const exe = await rental.getExeUnit();
    try {
      await bothWays(exe, folder);
    } finally {
      fs.rmSync(folder, { recursive: true });
    }

    const data = content(300_000);
    assert.equal((await exe.uploadData(data, "/golem/input/data")).result, "Ok");
    const came = await exe.downloadData("/golem/input/data");
    assert.equal(came.result, "Ok");
    assert.equal(sum(came.data), sum(data));

    const object = { number: 42, text: "Grüße" };
    assert.equal((await exe.uploadJson(object, "/golem/input/object.json")).result, "Ok");
    assert.deepEqual((await exe.downloadJson("/golem/input/object.json")).data, object);

    const batch = await exe
      .beginBatch()
      .uploadData(content(50_000), "/golem/input/batched")
      .run("sha256sum < /golem/input/batched | cut -d' ' -f1")
      .end();
    assert.equal(batch.at(-1).stdout.trim(), sum(content(50_000)));

    const missing = await exe.downloadFile("/golem/output/nothing", path.join(os.tmpdir(), "nothing")).catch((error) => error);
    assert.ok(missing instanceof Error || missing.result === "Error", `a file that isn't there came: ${missing.result}`);

    await rental.stopAndFinalize();
  }),
);
