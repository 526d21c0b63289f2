import { Tabs } from "@base-ui/react/tabs";
import { Download } from "lucide-react";
import { useMemo } from "react";
import { count } from "../formats/formats";
import { type Json, type JsonObject, stringifyJson } from "../formats/lossless-json";
import { figures } from "../formats/number-array";
import { writeNpy } from "../inputs/npy";
import { inputTexts } from "../strings/inputs";
import { Button } from "../ui/button";
import { download } from "../ui/download";
import { JsonView } from "../ui/json-view";
import { PixelsView } from "../ui/pixels-view";
import tabs from "../ui/tabs.module.css";
import styles from "./outputs.module.css";
import { numbersOf, type Share, type ShownAs, shownAs } from "./shown-as";

interface OutputViewProps {
  label: string;
  /** What the call has given, by name; null: nothing, as where it failed. */
  output: JsonObject | null;
  /** All of the answer. */
  whole: Json;
  filename: string;
}

/** An answer: its values each in the form in which it is read best, and all of it as JSON. */
export function OutputView({ label, output, whole, filename }: OutputViewProps) {
  const json = <JsonView label={label} value={whole} filename={filename} />;
  if (!output || !Object.keys(output).length) return json;
  const save = () => download(stringifyJson(whole), filename);
  return (
    <Tabs.Root defaultValue="result" className={styles.views}>
      <Tabs.List className={tabs.tabs} aria-label={inputTexts.output.views}>
        <Tabs.Tab value="result" className={tabs.tab}>
          {inputTexts.output.result}
        </Tabs.Tab>
        <Tabs.Tab value="json" className={tabs.tab}>
          {inputTexts.output.json}
        </Tabs.Tab>
      </Tabs.List>
      <Tabs.Panel value="result" className={styles.views}>
        {Object.entries(output).map(([name, value]) => (
          <Value key={name} name={name} value={value} />
        ))}
        <div>
          <Button onClick={save}>
            <Download size={14} aria-hidden />
            {inputTexts.output.download}
          </Button>
        </div>
      </Tabs.Panel>
      <Tabs.Panel value="json">{json}</Tabs.Panel>
    </Tabs.Root>
  );
}

function Value({ name, value }: { name: string; value: Json }) {
  const how = useMemo(() => shownAs(value), [value]);
  return (
    <section className={styles.value} aria-label={name}>
      <h3 className={styles.name}>
        <code>{name}</code>
        <SaveArray name={name} value={value} />
      </h3>
      <Shown name={name} value={value} how={how} />
    </section>
  );
}

function SaveArray({ name, value }: { name: string; value: Json }) {
  const found = useMemo(() => numbersOf(value), [value]);
  if (!found) return null;
  const save = () => download(new Blob([writeNpy(found.numbers, found.shape)]), `${name}.npy`);
  return (
    <Button
      look="quiet"
      aria-label={inputTexts.output.npy(name)}
      title={inputTexts.output.npy(name)}
      onClick={save}
    >
      <Download size={14} aria-hidden />
      {NPY}
    </Button>
  );
}

const NPY = ".npy";

function Shown({ name, value, how }: { name: string; value: Json; how: ShownAs }) {
  switch (how.kind) {
    case "scalar":
      return <p className={styles.scalar}>{typeof value === "string" ? value : stringifyJson(value)}</p>;
    case "shares":
      return (
        <>
          {how.rows.map((shares, at) => (
            <Shares
              key={at}
              label={how.rows.length > 1 ? `${name}, ${inputTexts.output.row(at + 1)}` : name}
              caption={how.rows.length > 1 ? inputTexts.output.row(at + 1) : null}
              shares={shares}
            />
          ))}
          <Others count={how.others} />
        </>
      );
    case "table":
      return (
        <>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
          <div className={styles.scroll} tabIndex={0}>
            <table className={styles.table} aria-label={name}>
              <thead>
                <tr>
                  <th scope="col">{inputTexts.output.number}</th>
                  {how.columns.map((column) => (
                    <th key={column} scope="col">
                      {column}
                    </th>
                  ))}
                </tr>
              </thead>
              <tbody>
                {how.rows.map((row, at) => (
                  <tr key={at}>
                    <th scope="row">{at + 1}</th>
                    {row.map((item, column) => (
                      <td key={how.columns[column]}>{cell(item)}</td>
                    ))}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          <Others count={how.others} />
        </>
      );
    case "picture":
      return <PixelsView label={inputTexts.output.picture(name)} {...how} />;
    case "json":
      return <JsonView label={name} value={value} filename={`${name}.json`} />;
  }
}

interface SharesProps {
  label: string;
  caption: string | null;
  shares: readonly Share[];
}

function Shares({ label, caption, shares }: SharesProps) {
  return (
    <table className={styles.shares} aria-label={label}>
      {caption ? <caption>{caption}</caption> : null}
      <thead>
        <tr>
          <th scope="col">{inputTexts.output.label}</th>
          <th scope="col">{inputTexts.output.share}</th>
          <td />
        </tr>
      </thead>
      <tbody>
        {shares.map(({ name, share }) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{Number(share.toPrecision(3))}</td>
            <td aria-hidden>
              <div className={styles.bar} style={{ inlineSize: `${share * 100}%` }} />
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Others({ count: others }: { count: number }) {
  return others > 0 ? <p className={styles.hint}>{inputTexts.output.more(count(others))}</p> : null;
}

function cell(value: Json): string {
  if (typeof value === "string") return value;
  return typeof value === "number" ? figures(value) : stringifyJson(value);
}
