"""Looks, as any requestor can, whether a client has left anything behind at the daemon.

`settled.py FILE` prints how many agreements there have been so far. It ends with 1, and a line for each thing that is
left, if an agreement is in force or an activity alive, if a demand, allocation or network is still there, or a bill
isn't accepted. What is left it writes into FILE, and what is in FILE already it doesn't tell again: that was another
client's.
"""

import json
import os
import sys
import time
from urllib.request import Request, urlopen

# A provider sends its last bills when the client may be gone already.
PATIENCE = 10
PAUSE = 0.2

API = os.environ["YAGNA_API_URL"]
KEY = os.environ["YAGNA_APPKEY"]


def ask(path):
    """What the daemon says."""
    request = Request(f"{API}{path}", headers={"Authorization": f"Bearer {KEY}"})
    with urlopen(request, timeout=20) as answer:
        return json.load(answer)


def look():
    """The number of agreements, and what is left of them and others."""
    left = []
    agreements = [entry["id"] for entry in ask("/market-api/v1/agreements") if entry["role"] == "Requestor"]
    invoices = {invoice["agreementId"]: invoice for invoice in ask("/payment-api/v1/invoices")}
    for agreement in agreements:
        details = ask(f"/market-api/v1/agreements/{agreement}")
        if details["state"] in ("Pending", "Approved"):
            left.append(f"agreement {agreement} is {details['state']}")
        for activity in ask(f"/activity-api/v1/activity?agreementId={agreement}"):
            state = ask(f"/activity-api/v1/activity/{activity}/state")["state"][0]
            if state != "Terminated":
                left.append(f"activity {activity} of agreement {agreement} is {state}")
        if details.get("approvedDate"):
            status = invoices.get(agreement, {}).get("status", "missing")
            if status not in ("ACCEPTED", "SETTLED"):
                left.append(f"the invoice of agreement {agreement} is {status}")
    left += [f"demand {demand['demandId']} is on the market" for demand in ask("/market-api/v1/demands")]
    left += [f"allocation {each['allocationId']} holds money" for each in ask("/payment-api/v1/allocations")]
    left += [f"network {network['id']} is there" for network in ask("/net-api/v1/net")]
    return len(agreements), left


def main():
    """Looks until nothing new is left or patience is over."""
    known = set()
    if os.path.exists(sys.argv[1]):
        with open(sys.argv[1]) as file:
            known = set(file.read().splitlines())
    deadline = time.monotonic() + PATIENCE
    count, left = look()
    while not known.issuperset(left) and time.monotonic() < deadline:
        time.sleep(PAUSE)
        count, left = look()
    with open(sys.argv[1], "w") as file:
        file.writelines(f"{line}\n" for line in left)
    new = [line for line in left if line not in known]
    print(count)
    for line in new:
        print(line, file=sys.stderr)
    return 1 if new else 0


sys.exit(main())
