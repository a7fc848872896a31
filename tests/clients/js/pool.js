/** A pool of three rentals that does nine pieces of work, several at a time, and uses what it has rented again. */
"use strict";

const { assert, order, run, until, withNetwork } = require("./common.js");

const SIZE = 3;
const PIECES = 9;

run(() =>
  withNetwork(async (glm, seen) => {
    const pool = await glm.manyOf({ order: order(), poolSize: { min: SIZE, max: SIZE } });
    await pool.ready(30_000);
    assert.equal(pool.getSize(), SIZE);

    const providers = new Set();
    const agreements = new Set();
    const results = new Map();
    const pieces = Array.from({ length: PIECES }, (_, number) => number);
    // Not all at once: while golem-js looks at a free rental it doesn't count it, and would rent one too many.
    const lane = async () => {
      while (pieces.length > 0) {
        const number = pieces.shift();
        await pool.withRental(async (rental) => {
          const exe = await rental.getExeUnit();
          providers.add(exe.provider.id);
          agreements.add(rental.agreement.id);
          results.set(number, (await exe.run(`echo $((${number} * ${number}))`)).stdout);
        });
      }
    };
    await Promise.all(Array.from({ length: SIZE }, lane));
    assert.equal(results.size, PIECES);
    for (const [number, output] of results) {
      assert.equal(output, `${number * number}\n`);
    }
    assert.equal(providers.size, SIZE, "every rental is with a provider of its own");
    assert.equal(agreements.size, SIZE, "rentals were used again");

    await pool.drainAndClear();
    assert.equal(pool.getSize(), 0);
    const paid = () => [...agreements].every((agreement) => seen.paid.has(agreement));
    await until(paid, glm.payment.events, "invoiceAccepted");
  }),
);
