/** Debit notes while the work lasts and an invoice at its end, all accepted, and an allocation that pays them. */
"use strict";

const { assert, order, run, until, withNetwork } = require("./common.js");

const NOTES = 2;

run(() =>
  withNetwork(async (glm, seen) => {
    const allocation = await glm.payment.createAllocation({ budget: 1, expirationSec: 1800 });
    const rental = await glm.oneOf({
      order: {
        ...order({ midAgreementDebitNoteIntervalSec: 2, debitNotesAcceptanceTimeoutSec: 30 }),
        payment: { allocation },
      },
    });
    const exe = await rental.getExeUnit();
    assert.equal((await exe.run("echo paid by the second")).result, "Ok");
    await until(() => seen.notes.length >= NOTES, glm.payment.events, "debitNoteAccepted");
    for (const note of seen.notes) {
      assert.equal(note.agreementId, rental.agreement.id);
    }
    const amounts = seen.notes.map((note) => Number(note.totalAmountDue));
    assert.deepEqual(amounts, [...amounts].sort((a, b) => a - b), "debit notes only grow");
    assert.ok(amounts.at(-1) > 0, `the last debit note is for ${amounts.at(-1)}`);

    await rental.stopAndFinalize();
    await until(() => seen.paid.has(rental.agreement.id), glm.payment.events, "invoiceAccepted");
    const invoice = seen.paid.get(rental.agreement.id);
    assert.ok(Number(invoice.amount) >= amounts.at(-1), `the invoice of ${invoice.amount} covers ${amounts}`);

    const left = await glm.payment.getAllocation(allocation.id);
    assert.equal(Number(left.spentAmount), Number(invoice.amount), "the allocation paid the invoice");
    assert.ok(Math.abs(Number(left.remainingAmount) + Number(left.spentAmount) - 1) < 1e-15, "nothing else is reserved");
    await glm.payment.releaseAllocation(allocation);
  }),
);
