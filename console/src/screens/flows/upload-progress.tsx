import { Progress } from "@base-ui/react/progress";
import { useRef } from "react";
import { bytes, duration } from "../../formats/formats";
import { firstStepTexts } from "../../strings/first-steps";
import styles from "./new-flow.module.css";

/** How much of a file is sent; when all is, the gateway verifies it. */
export function UploadProgress({ sent, total }: { sent: number; total: number }) {
  const isSent = sent >= total;
  const began = useRef(performance.now());
  const left = (((performance.now() - began.current) / 1000) * (total - sent)) / sent;
  return (
    <Progress.Root value={isSent ? null : Math.round((100 * sent) / total)} className={styles.progress}>
      <Progress.Label>
        {isSent
          ? firstStepTexts.newFlow.verifying
          : firstStepTexts.newFlow.uploading(bytes(sent), bytes(total))}
      </Progress.Label>
      {!isSent && sent > 0 && left >= 1 ? <span>{firstStepTexts.newFlow.left(duration(left))}</span> : null}
      <Progress.Track className={styles.track}>
        <Progress.Indicator className={styles.indicator} />
      </Progress.Track>
    </Progress.Root>
  );
}
