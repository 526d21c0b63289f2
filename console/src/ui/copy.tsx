import { Check, Copy } from "lucide-react";
import { type ReactNode, useEffect, useState } from "react";
import { shortId } from "../formats/formats";
import { t } from "../strings";
import { Button } from "./button";
import styles from "./copy.module.css";

const SHOWN_MILLISECONDS = 2000;

interface CopyButtonProps {
  text: string;
  label?: string;
  onCopy?: (() => void) | undefined;
}

/** A button that puts a text on the clipboard, and says so. */
export function CopyButton({ text, label = t.common.copy, onCopy }: CopyButtonProps) {
  const [state, setState] = useState<"idle" | "copied" | "refused">("idle");
  useEffect(() => {
    if (state === "idle") return;
    const timer = setTimeout(() => setState("idle"), SHOWN_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [state]);
  const copy = () => {
    onCopy?.();
    // Without https there is no clipboard, except on this machine.
    const written = navigator.clipboard?.writeText(text) ?? Promise.reject();
    written.then(
      () => setState("copied"),
      () => setState("refused"),
    );
  };
  const shown = { idle: label, copied: t.common.copied, refused: t.common.copyRefused }[state];
  return (
    <Button onClick={copy} className={styles.copy ?? ""}>
      {state === "copied" ? <Check size={14} aria-hidden /> : <Copy size={14} aria-hidden />}
      <span aria-live="polite">{shown}</span>
    </Button>
  );
}

/** The short name of a token class of Pygments, and the text. */
export type Token = readonly string[];

interface CodeProps {
  code: string;
  /** The code as the gateway has tokenised it; without them it has one colour. */
  tokens?: readonly Token[];
  label: string;
  copyLabel?: string;
  onCopy?: () => void;
}

/** By the first letter of the name of a token class. */
const TOKEN_STYLES: Record<string, string | undefined> = {
  c: styles.comment,
  k: styles.keyword,
  m: styles.number,
  s: styles.string,
};

/** Code that scrolls within its box, with a button that copies it. */
export function CodeBlock({ code, tokens, label, copyLabel, onCopy }: CodeProps) {
  return (
    <Figure
      caption={
        <>
          <span>{label}</span>
          <CopyButton text={code} onCopy={onCopy} {...(copyLabel ? { label: copyLabel } : {})} />
        </>
      }
    >
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
      <pre className={styles.code} tabIndex={0}>
        <code>{tokens ? <Tokens tokens={tokens} /> : code}</code>
      </pre>
    </Figure>
  );
}

/** A box with a caption, which has a text first and then what can be done. */
export function Figure({ caption, children }: { caption: ReactNode; children: ReactNode }) {
  return (
    <figure className={styles.figure}>
      <figcaption className={styles.caption}>{caption}</figcaption>
      {children}
    </figure>
  );
}

function Tokens({ tokens }: { tokens: readonly Token[] }) {
  return tokens.map(([kind = "", text], index) => (
    <span key={index} className={TOKEN_STYLES[kind.charAt(0)]}>
      {text}
    </span>
  ));
}

/** The short form of an id, which copies the whole. */
export function Id({ id }: { id: string }) {
  return (
    <button
      type="button"
      className={styles.id}
      title={t.common.copyId(id)}
      onClick={() => void navigator.clipboard?.writeText(id)}
    >
      {shortId(id)}
    </button>
  );
}
