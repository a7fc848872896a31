/** Files and data as golem-js moves them through the `gftp` program, for two rentals that read the same content. */
"use strict";

const { assert, order, run, withNetwork } = require("./common.js");
const { bothWays, content, inFolder, sum } = require("./files.js");

run(() =>
  withNetwork(async (glm) => {
    const pool = await glm.manyOf({ order: order(), poolSize: { min: 2, max: 2 } });
    await pool.ready(30_000);
    const shared = content(500_000);
    const lane = () =>
      pool.withRental(async (rental) => {
        const exe = await rental.getExeUnit();
        await inFolder((folder) => bothWays(exe, folder));
        assert.equal((await exe.uploadData(shared, "/golem/input/shared")).result, "Ok");
        const there = await exe.run("sha256sum < /golem/input/shared | cut -d' ' -f1");
        assert.equal(there.stdout.trim(), sum(shared));
      });
    await Promise.all([lane(), lane()]);
    await pool.drainAndClear();
  }, { dataTransferProtocol: "gftp" }),
);
