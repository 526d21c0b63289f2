import type { components } from "../../api/schema";
import { count } from "../../formats/formats";
import { Time } from "../../formats/time";
import { keyTexts } from "../../strings/keys";
import { Loaded } from "../../ui/loading";
import { Table } from "../../ui/table";
import styles from "./keys.module.css";
import { useKeyAddresses } from "./queries";

type Address = components["schemas"]["KeyAddressOut"];

const COLUMNS = [
  { title: keyTexts.address, cell: ({ address }: Address) => <code>{address}</code> },
  { title: keyTexts.calls, cell: ({ calls }: Address) => count(calls) },
  { title: keyTexts.refused, cell: ({ refused }: Address) => count(refused) },
  { title: keyTexts.first, cell: ({ first_at }: Address) => <Time iso={first_at} /> },
  { title: keyTexts.last, cell: ({ last_at }: Address) => <Time iso={last_at} /> },
];

export function KeyAddresses({ id }: { id: string }) {
  const addresses = useKeyAddresses(id);
  return (
    <Loaded query={addresses} rows={2}>
      {(rows) => (
        <>
          <p className={styles.hint}>{rows.length ? keyTexts.addressesText : keyTexts.addressesNone}</p>
          <p className={styles.hint}>{keyTexts.leak}</p>
          {rows.length ? (
            <Table
              label={keyTexts.addresses}
              rows={rows}
              columns={COLUMNS}
              keyOf={({ address }) => address}
            />
          ) : null}
        </>
      )}
    </Loaded>
  );
}
