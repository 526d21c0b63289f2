import { hooks } from "../../api/client";
import { usePolling } from "../../api/polling";
import { timeOfDay } from "../../formats/formats";
import { serverTexts } from "../../strings/servers";
import { Loaded } from "../../ui/loading";
import styles from "./servers.module.css";

const MILLISECONDS = 2000;

/** The last lines of the log, which stay in view at its end. */
export function ServerLog({ serverId, replicas }: { serverId: string; replicas: number }) {
  const log = hooks.useQuery(
    "get",
    "/node/inference-servers/{server_id}/logs/",
    { params: { path: { server_id: serverId } } },
    { refetchInterval: usePolling(MILLISECONDS) },
  );
  return (
    <Loaded query={log} rows={4}>
      {({ lines }) => (
        <>
          {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
          <section className={styles.log} tabIndex={0} aria-label={serverTexts.servers.log}>
            <ol className={styles.lines}>
              {lines.map(({ slot, at, level, text }) => (
                <li key={`${slot} ${at}`} className={styles.line} data-level={level}>
                  <time dateTime={at}>{timeOfDay(new Date(at), 3)}</time>
                  {replicas > 1 ? <span className={styles.slot}>{slot}</span> : <span>{level}</span>}
                  <span className={styles.text}>{text}</span>
                </li>
              ))}
              {lines.length === 0 ? <li className={styles.hint}>{serverTexts.servers.noLog}</li> : null}
            </ol>
          </section>
          <p className={styles.hint}>{serverTexts.servers.logKept}</p>
        </>
      )}
    </Loaded>
  );
}
