import { useEffect, useRef, useState } from "react";
import { flowTexts } from "../../strings/flows";
import { type GraphChange, graphChanges } from "./graph-changes";
import styles from "./history.module.css";
import { type Revision, useRevision } from "./queries";

/** What a line of the list names; the page of a revision names all. */
const NAMED = 3;
/** Larger graphs are loaded when they are opened. */
const MAX_BYTES = 100_000;

/** All changes, one a line. */
export function ChangeList({ changes }: { changes: readonly GraphChange[] }) {
  if (changes.length === 0) return <p className={styles.faint}>{flowTexts.history.none}</p>;
  return (
    <ul className={styles.changes}>
      {changes.map(({ text }) => (
        <li key={text}>{text}</li>
      ))}
    </ul>
  );
}

interface RowChangesProps {
  flowId: string;
  revision: Revision;
  before: Revision | undefined;
}

/** The first changes of a revision, once its row is in sight: only then are the two graphs loaded. */
export function RowChanges({ flowId, revision, before }: RowChangesProps) {
  const place = useRef<HTMLSpanElement>(null);
  const isSeen = useSeen(place);
  const isSmall = revision.bytes + (before?.bytes ?? 0) <= MAX_BYTES;
  const enabled = isSeen && isSmall && before !== undefined;
  const old = useRevision(flowId, before, { enabled });
  const present = useRevision(flowId, revision, { enabled });
  return (
    <span ref={place} className={styles.rowChanges}>
      {textOf()}
    </span>
  );

  function textOf(): string {
    if (!before) return flowTexts.history.firstKept;
    if (!isSmall) return flowTexts.history.large;
    if (!old.data || !present.data) return flowTexts.history.loading;
    const texts = graphChanges(old.data, present.data).map(({ text }) => text);
    if (texts.length === 0) return flowTexts.history.none;
    const left = texts.length - NAMED;
    return [...texts.slice(0, NAMED), ...(left > 0 ? [flowTexts.history.andMore(left)] : [])].join(" · ");
  }
}

/** Whether an element has been in sight. */
function useSeen(element: React.RefObject<HTMLElement | null>): boolean {
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    if (isSeen || !element.current) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) setSeen(true);
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, isSeen]);
  return isSeen;
}
