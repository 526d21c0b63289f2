import { ChevronRight, Download } from "lucide-react";
import { useState } from "react";
import { bytes, count } from "../formats/formats";
import { ExactNumber, isObject, type Json, stringifyJson } from "../formats/lossless-json";
import { figures, numberArray } from "../formats/number-array";
import { runTexts } from "../strings/runs";
import { Button } from "./button";
import { CodeBlock, CopyButton, Figure } from "./copy";
import { download } from "./download";
import styles from "./json-view.module.css";

const MEMBERS_AT_ONCE = 200;
/** Values whose JSON is longer are shown as a tree. */
const MAX_TEXT = 4_000;
const MAX_STRING = 500;

interface JsonViewProps {
  label: string;
  value: Json;
  /** The name of the file that a download gets. */
  filename: string;
}

/** A value as JSON, whose numbers are exact; a large one as a tree, whose parts are opened one by one. */
export function JsonView({ label, value, filename }: JsonViewProps) {
  const text = stringifyJson(value, 2);
  if (text.length <= MAX_TEXT) return <CodeBlock label={label} code={text} />;
  return (
    <Figure
      caption={
        <>
          <span>{runTexts.json.sized(label, bytes(text.length))}</span>
          <CopyButton text={text} />
          <Button onClick={() => download(text, filename)}>
            <Download size={14} aria-hidden />
            {runTexts.json.download}
          </Button>
        </>
      }
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <div className={styles.tree} tabIndex={0}>
        <Value value={value} isOpen />
      </div>
    </Figure>
  );
}

function Value({ value, name, isOpen = false }: { value: Json; name?: string; isOpen?: boolean }) {
  if (typeof value !== "object" || value === null || value instanceof ExactNumber)
    return <Leaf value={value} name={name} />;
  return <Branch value={value} name={name} isOpen={isOpen} />;
}

function Leaf({ value, name }: { value: Json; name: string | undefined }) {
  const [isWhole, setWhole] = useState(false);
  const text = stringifyJson(value);
  const isCut = text.length > MAX_STRING && !isWhole;
  return (
    <div className={styles.leaf}>
      <Name name={name} />
      <span data-kind={typeof value === "string" ? "string" : "other"} className={styles.value}>
        {isCut ? `${text.slice(0, MAX_STRING)}…` : text}
      </span>
      {isCut ? (
        <button type="button" className={styles.more} onClick={() => setWhole(true)}>
          {runTexts.json.whole(count(text.length))}
        </button>
      ) : null}
    </div>
  );
}

interface BranchProps {
  value: Exclude<Json, null | boolean | number | string | ExactNumber>;
  name: string | undefined;
  isOpen: boolean;
}

function Branch({ value, name, isOpen }: BranchProps) {
  const [isShown, setShown] = useState(isOpen);
  const [limit, setLimit] = useState(MEMBERS_AT_ONCE);
  const names = isObject(value) ? Object.keys(value) : null;
  const length = names?.length ?? (value as Json[]).length;
  return (
    <div>
      <button
        type="button"
        className={styles.branch}
        aria-expanded={isShown}
        onClick={() => setShown(!isShown)}
      >
        <ChevronRight size={14} aria-hidden className={styles.chevron} />
        <Name name={name} />
        <span className={styles.summary}>{summary(value, length)}</span>
      </button>
      {isShown ? (
        <div className={styles.members}>
          {Array.from({ length: Math.min(limit, length) }, (_, index) => {
            const member = names?.[index] ?? String(index);
            const item = isObject(value) ? value[member] : value[index];
            return <Value key={member} name={member} value={item ?? null} />;
          })}
          {length > limit ? (
            <button type="button" className={styles.more} onClick={() => setLimit(limit + MEMBERS_AT_ONCE)}>
              {runTexts.json.more(Math.min(MEMBERS_AT_ONCE, length - limit), count(length - limit))}
            </button>
          ) : null}
        </div>
      ) : null}
    </div>
  );
}

function Name({ name }: { name: string | undefined }) {
  return name === undefined ? null : <span className={styles.name}>{runTexts.json.member(name)}</span>;
}

function summary(value: BranchProps["value"], length: number): string {
  if (isObject(value)) return runTexts.json.object(length);
  const numbers = numberArray(value);
  if (!numbers) return runTexts.json.array(length);
  const [min, mean, max] = [numbers.min, numbers.mean, numbers.max].map(figures);
  return runTexts.json.numbers(numbers.shape.join(" × "), min ?? "", mean ?? "", max ?? "");
}
