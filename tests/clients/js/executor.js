/** task-executor: 20 tasks on 4 workers, a file for each, and one task that fails for good. */
"use strict";

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { TaskExecutor } = require("@golem-sdk/task-executor");
const { assert, order, checkSettled, run, watch } = require("./common.js");

const TASKS = 20;
const WORKERS = 4;

run(async () => {
  const executor = await TaskExecutor.create({
    api: { key: process.env.YAGNA_APPKEY, url: process.env.YAGNA_API_URL },
    ...order(),
    task: { maxParallelTasks: WORKERS },
  });
  const seen = watch(executor.glm);
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "task-executor-"));
  const providers = new Set();
  let working = 0;
  let most = 0;
  try {
    const tasks = Array.from({ length: TASKS }, async (_, number) => {
      const input = path.join(folder, `input-${number}`);
      fs.writeFileSync(input, `${number}\n`);
      return executor.run(async (exe) => {
        most = Math.max(most, ++working);
        providers.add(exe.provider.id);
        await exe.uploadFile(input, `/golem/input/${number}`);
        const result = await exe.run(`n=$(cat /golem/input/${number}); echo $((n * n))`);
        working--;
        return result.stdout;
      });
    });
    const results = await Promise.all(tasks);
    assert.deepEqual(results, Array.from({ length: TASKS }, (_, number) => `${number * number}\n`));
    assert.equal(providers.size, WORKERS, "every worker had tasks");
    assert.equal(most, WORKERS, "they worked at the same time, and not more of them");

    const refused = executor.run(async () => {
      throw new Error("the user's own mistake");
    });
    await assert.rejects(refused, /the user's own mistake/);
  } finally {
    fs.rmSync(folder, { recursive: true });
    await executor.shutdown();
  }
  checkSettled(seen);
});
