import { useBlocker } from "@tanstack/react-router";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { t } from "../strings";
import { secretTexts } from "../strings/secrets";
import { Button } from "./button";
import { Checkbox } from "./choice";
import { Dialog } from "./dialog";
import { Notice } from "./notice";

interface SecretDialogProps {
  title: string;
  text: string;
  /** What is asked when it is closed before the secret is saved. */
  question: { title: string; text: string; stay: string };
  /** The secretTexts, with what helps to save it. */
  children: ReactNode;
  onDone: () => void;
}

/**
 * Shows a secret this once. It closes when the user says that it is saved; before that, Esc and Back ask.
 *
 * The secret is in memory only: in no storage and no URL, and not in the page after the dialog.
 */
export function SecretDialog({ title, text, question, children, onDone }: SecretDialogProps) {
  const [isSaved, setSaved] = useState(false);
  const [asks, setAsks] = useState(false);
  const isDone = useRef(false);
  const blocker = useBlocker({
    shouldBlockFn: () => !isDone.current,
    enableBeforeUnload: () => !isDone.current,
    withResolver: true,
  });
  useEffect(() => {
    if (blocker.status === "blocked") setAsks(true);
  }, [blocker.status]);
  const leave = () => {
    isDone.current = true;
    if (blocker.status === "blocked") blocker.proceed();
    else onDone();
  };
  const stay = () => {
    setAsks(false);
    if (blocker.status === "blocked") blocker.reset();
  };
  return (
    <Dialog
      title={title}
      onClose={() => (isSaved ? leave() : setAsks(true))}
      footer={
        <>
          <Checkbox label={secretTexts.saved} checked={isSaved} onChange={setSaved} />
          <Button look="primary" disabled={!isSaved} onClick={leave}>
            {t.common.close}
          </Button>
        </>
      }
    >
      {asks && !isSaved ? (
        <Notice
          kind="warn"
          announced
          title={question.title}
          action={
            <>
              <Button onClick={stay}>{question.stay}</Button>
              <Button onClick={leave}>{secretTexts.leave}</Button>
            </>
          }
        >
          <p>{question.text}</p>
        </Notice>
      ) : (
        <p>{text}</p>
      )}
      {children}
    </Dialog>
  );
}
