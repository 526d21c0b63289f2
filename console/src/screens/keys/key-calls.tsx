import { count, day } from "../../formats/formats";
import { keyTexts } from "../../strings/keys";
import { Loaded } from "../../ui/loading";
import { Table } from "../../ui/table";
import styles from "./keys.module.css";
import { useKeyCalls } from "./queries";

/** How often a key was used on each day: numbers, and bars that repeat them. */
export function KeyCalls({ id }: { id: string }) {
  const usage = useKeyCalls(id);
  return (
    <Loaded query={usage} rows={2}>
      {({ items }) => {
        if (items.length === 0) return <p className={styles.hint}>{keyTexts.perDayNone}</p>;
        const most = Math.max(...items.map(({ calls }) => calls));
        const columns = [
          { title: keyTexts.day, cell: (item: Item) => day(new Date(item.from)) },
          { title: keyTexts.calls, cell: (item: Item) => <Bar value={item.calls} most={most} /> },
          { title: keyTexts.errors, cell: (item: Item) => count(item.errors) },
        ];
        const rows = items.toReversed();
        return <Table label={keyTexts.perDay} rows={rows} columns={columns} keyOf={({ from }) => from} />;
      }}
    </Loaded>
  );
}

interface Item {
  from: string;
  calls: number;
  errors: number;
}

function Bar({ value, most }: { value: number; most: number }) {
  return (
    <span className={styles.barred}>
      <span>{count(value)}</span>
      <svg className={styles.bar} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden>
        <rect width={most ? (100 * value) / most : 0} height="8" />
      </svg>
    </span>
  );
}
