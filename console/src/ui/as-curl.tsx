import { useState } from "react";
import { type ManageCall, manageCommand } from "../formats/curl";
import { curlTexts } from "../strings/curl";
import styles from "./as-curl.module.css";
import { CodeBlock } from "./copy";

/** What a dialog sends, as commands for a shell. None has a key: each takes it from the environment. */
export function AsCurl({ calls }: { calls: readonly ManageCall[] }) {
  const [isOpen, setOpen] = useState(false);
  const code = () => calls.map((call) => manageCommand(window.location.origin, call)).join("\n\n");
  return (
    <details className={styles.details} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{curlTexts.title}</summary>
      {isOpen ? <CodeBlock label={curlTexts.hint} code={code()} /> : null}
    </details>
  );
}
