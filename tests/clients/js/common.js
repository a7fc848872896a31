/** What the golem-js cases share: their order, how they run, and what they look at afterwards. */
"use strict";

const assert = require("node:assert/strict");
const { GolemNetwork } = require("@golem-sdk/golem-js");

const IMAGE_TAG = "golem-tasks/hello:latest";
// A rental of 15 minutes: providers refuse a demand that ends within five.
const RENT_HOURS = 0.25;
const SUBNET = process.env.YAGNA_SUBNET;

/** What a case orders; `payment` adds terms of payment to the demand. */
function order(payment = {}) {
  return {
    demand: { workload: { imageTag: IMAGE_TAG }, payment, subnetTag: SUBNET },
    market: {
      rentHours: RENT_HOURS,
      pricing: { model: "linear", maxStartPrice: 1, maxCpuPerHourPrice: 100, maxEnvPerHourPrice: 100 },
    },
  };
}

/** Remembers what the network tells of agreements, activities and bills, for `checkSettled`. */
function watch(glm) {
  const seen = { agreements: new Set(), paid: new Map(), notes: [], created: new Set(), destroyed: new Set(), errors: [] };
  // Its own word for it, `agreementApproved`, is lost when two of them come close together.
  glm.activity.events.on("activityCreated", ({ activity }) => seen.agreements.add(activity.agreement.id));
  glm.activity.events.on("activityCreated", ({ activity }) => seen.created.add(activity.id));
  glm.activity.events.on("activityDestroyed", ({ activity }) => seen.destroyed.add(activity.id));
  glm.payment.events.on("invoiceAccepted", ({ invoice }) => seen.paid.set(invoice.agreementId, invoice));
  glm.payment.events.on("debitNoteAccepted", ({ debitNote }) => seen.notes.push(debitNote));
  const failures = {
    market: ["errorSendingCounterProposal"],
    activity: ["errorCreatingActivity", "errorDestroyingActivity", "errorInitializingExeUnit", "errorGettingBatchResults"],
    payment: ["errorAcceptingInvoice", "errorAcceptingDebitNote", "errorCreatingAllocation", "errorReleasingAllocation"],
  };
  for (const [module, names] of Object.entries(failures)) {
    for (const name of names) {
      glm[module].events.on(name, ({ error }) => seen.errors.push(`${name}: ${error}`));
    }
  }
  return seen;
}

/**
 * There were agreements, every activity was destroyed, and nothing failed on the way.
 *
 * That every invoice is accepted the daemon is asked afterwards: golem-js may end before it has heard that of the last.
 */
function checkSettled(seen) {
  assert.deepEqual(seen.errors, []);
  assert.notEqual(seen.agreements.size, 0, "there was no agreement at all");
  for (const invoice of seen.paid.values()) {
    assert.ok(["ACCEPTED", "SETTLED"].includes(invoice.getStatus()), invoice.getStatus());
  }
  assert.deepEqual(seen.destroyed, seen.created, "every activity was destroyed");
}

/** Connects, runs the case, disconnects and looks whether everything is settled. */
async function withNetwork(work, options = {}) {
  const glm = new GolemNetwork({ api: { key: process.env.YAGNA_APPKEY, url: process.env.YAGNA_API_URL }, ...options });
  const seen = watch(glm);
  await glm.connect();
  try {
    await work(glm, seen);
  } finally {
    await glm.disconnect();
  }
  checkSettled(seen);
}

/** Waits until a condition holds; the case's own deadline ends it when it never does. */
async function until(condition, emitter, event) {
  while (!condition()) {
    await new Promise((resolve) => emitter.once(event, resolve));
  }
}

/** Runs a case: the process ends with 1 and the error when anything in it is wrong. */
function run(work) {
  work().then(
    // An exit by itself would also show that nothing of the client is left running.
    () => (process.exitCode = 0),
    (error) => {
      console.error(error);
      process.exit(1);
    },
  );
}

module.exports = { IMAGE_TAG, RENT_HOURS, SUBNET, assert, checkSettled, order, run, until, watch, withNetwork };
