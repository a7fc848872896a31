/** A virtual network with two machines in it, their addresses, and the market looked over without an order. */
"use strict";

const { lastValueFrom, take, toArray } = require("rxjs");
const { SUBNET, assert, order, run, withNetwork } = require("./common.js");

const OFFERS = 3;

run(() =>
  withNetwork(async (glm) => {
    const scanned = glm.market.scan({ subnetTag: SUBNET, workload: { minMemGib: 0.5 } });
    const offers = await lastValueFrom(scanned.pipe(take(OFFERS), toArray()));
    assert.equal(new Set(offers.map(({ provider }) => provider.id)).size, OFFERS, "each offer is another provider's");
    for (const offer of offers) {
      assert.ok(offer.provider.name && offer.memory >= 0.5, JSON.stringify(offer));
    }

    const network = await glm.createNetwork({ ip: "192.168.7.0/24" });
    const pool = await glm.manyOf({ order: { ...order(), network }, poolSize: { min: 2, max: 2 } });
    await pool.ready(30_000);
    const addresses = [];
    const lane = () =>
      pool.withRental(async (rental) => {
        const exe = await rental.getExeUnit();
        assert.equal((await exe.run("echo in a network")).result, "Ok");
        addresses.push(exe.getIp());
      });
    await Promise.all([lane(), lane()]);
    assert.deepEqual(addresses.sort(), ["192.168.7.2", "192.168.7.3"]);
    await pool.drainAndClear();
    await glm.destroyNetwork(network);
  }),
);
