/** `runAndStream`: output while the command runs, its end, its failure; and a batch's results one by one. */
"use strict";

const { assert, order, run, withNetwork } = require("./common.js");

const LINES = 5;
const PAUSE = 0.3;

/** Collects what a process prints, with the times at which it came. */
function listen(process) {
  const heard = { stdout: "", stderr: "", times: [] };
  for (const stream of ["stdout", "stderr"]) {
    process[stream].subscribe((text) => {
      heard[stream] += text;
      heard.times.push(Date.now());
    });
  }
  return heard;
}

run(() =>
  withNetwork(async (glm) => {
    const rental = await glm.oneOf({ order: order() });
    const exe = await rental.getExeUnit();

    const loop = `for i in $(seq ${LINES}); do sleep ${PAUSE}; echo line $i; done; echo the end >&2`;
    const talker = await exe.runAndStream(loop);
    const heard = listen(talker);
    await talker.waitForExit();
    assert.ok(talker.isFinished());
    assert.equal(heard.stdout, Array.from({ length: LINES }, (_, i) => `line ${i + 1}\n`).join(""));
    assert.equal(heard.stderr, "the end\n");
    const took = heard.times.at(-1) - heard.times[0];
    assert.ok(took > PAUSE * (LINES - 2) * 1000, `all of it came within ${took} ms`);

    const broken = await exe.runAndStream("sleep 0.2; echo oh; exit 9");
    const last = listen(broken);
    const end = await broken.waitForExit();
    assert.equal(last.stdout, "oh\n");
    assert.match(end.message, /exited with code 9/);

    const results = [];
    const stream = await exe.beginBatch().run("sleep 0.2; echo one").run("echo two").endStream();
    await new Promise((complete, error) => {
      stream.subscribe({ next: (result) => results.push(result), complete, error });
    });
    assert.equal(results.map(({ stdout }) => stdout ?? "").join(""), "one\ntwo\n");

    await rental.stopAndFinalize();
  }),
);
