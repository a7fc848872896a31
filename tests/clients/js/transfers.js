/** Files, data and JSON both ways over the daemon's own sockets; 0 bytes and several chunks among them. */
"use strict";

const path = require("node:path");
const { assert, order, run, withNetwork } = require("./common.js");
const { bothWays, content, inFolder, sum } = require("./files.js");

run(() =>
  withNetwork(async (glm) => {
    const rental = await glm.oneOf({ order: order() });
    const exe = await rental.getExeUnit();
    await inFolder(async (folder) => {
      await bothWays(exe, folder);
      const missing = await exe.downloadFile("/golem/output/nothing", path.join(folder, "nothing")).catch((error) => error);
      assert.ok(missing instanceof Error || missing.result === "Error", `a file that isn't there came: ${missing.result}`);
    });

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

    await rental.stopAndFinalize();
  }),
);
