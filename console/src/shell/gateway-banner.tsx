import { useEffect, useState } from "react";
import { tryNow, useConnection } from "../api/connection";
import { timeOfDay } from "../formats/formats";
import { connectionTexts } from "../strings/shell";
import { Button } from "../ui/button";
import { Notice } from "../ui/notice";
import styles from "./shell.module.css";

/** Says that the gateway is away, since when, and when it is tried again. */
export function GatewayBanner() {
  const { awaySince, nextTry } = useConnection();
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (awaySince === null) return;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [awaySince]);
  if (awaySince === null) return null;
  const left = nextTry ? Math.max(0, Math.ceil((nextTry.getTime() - now) / 1000)) : 0;
  return (
    <div className={styles.banner}>
      <Notice
        kind="warn"
        announced
        title={connectionTexts.away(timeOfDay(awaySince))}
        action={<Button onClick={tryNow}>{connectionTexts.now}</Button>}
      >
        <p>{connectionTexts.cached}</p>
        <p aria-live="off">{left ? connectionTexts.next(left) : connectionTexts.trying}</p>
      </Notice>
    </div>
  );
}
