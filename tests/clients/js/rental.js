/** One rental: commands in both forms, a failing one, an unknown program, a batch, and the state of the agreement. */
"use strict";

const { assert, order, run, withNetwork } = require("./common.js");

run(() =>
  withNetwork(async (glm) => {
    const rental = await glm.oneOf({
      order: order(),
      setup: async (exe) => {
        await exe.run("echo ready > /golem/work/setup");
      },
    });
    const exe = await rental.getExeUnit();
    assert.ok(exe.provider.name, "the provider has no name");

    const line = await exe.run("echo hello $((6 * 7)); echo aside >&2");
    assert.deepEqual([line.result, line.stdout, line.stderr], ["Ok", "hello 42\n", "aside\n"]);

    const words = await exe.run("/bin/cat", ["/golem/work/setup"]);
    assert.equal(words.stdout, "ready\n");

    const broken = await exe.run("echo so far >&2; exit 3");
    assert.equal(broken.result, "Error");
    assert.equal(broken.stderr, "so far\n");
    assert.match(broken.message, /exited with code 3/);

    const silent = await exe.run("true");
    assert.deepEqual([silent.result, silent.stdout], ["Ok", null]);

    const unknown = await exe.run("/no/such/program", []);
    assert.equal(unknown.result, "Error");

    const results = await exe.beginBatch().run("echo one").run("/bin/echo", ["two"]).end();
    assert.deepEqual(results.map(({ stdout }) => stdout), ["one\n", "two\n"]);

    // The batch stops at its first failure; the activity stays usable.
    const partial = await exe.beginBatch().run("echo one").run("false").run("echo three").end();
    // golem-js makes up an error for what was never run.
    assert.deepEqual(partial.map(({ result }) => result), ["Ok", "Error", "Error"]);
    assert.match(partial[1].message, /exited with code 1/);
    assert.ok(!partial[2].stdout, "a command ran after the failed one");
    assert.equal((await exe.run("echo still here")).stdout, "still here\n");

    assert.equal(await rental.fetchAgreementState(), "Approved");
    await rental.stopAndFinalize();
    assert.equal(await rental.fetchAgreementState(), "Terminated");
  }),
);
