/** Files for the cases of transfers: content that can be checked, and one exe-unit that takes and returns them. */
"use strict";

const { createHash } = require("node:crypto");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const assert = require("node:assert/strict");

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

/** Runs `work` with a folder that is gone afterwards. */
async function inFolder(work) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "golem-clients-"));
  try {
    await work(folder);
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** Sends files of all sizes to a provider and takes them back. */
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

module.exports = { bothWays, content, inFolder, sum };
