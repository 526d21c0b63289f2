import { deploymentTexts } from "../../strings/deployments";
import { Checkbox } from "../../ui/choice";
import styles from "./deployment.module.css";
import { EVENTS, type WebhookEvent } from "./new-deployment-form";

interface EventChoiceProps {
  events: readonly WebhookEvent[];
  onChange: (events: WebhookEvent[]) => void;
}

/** Which events of runs a webhook gets. */
export function EventChoice({ events, onChange }: EventChoiceProps) {
  return (
    <fieldset className={styles.fieldset}>
      <legend>{deploymentTexts.deploy.events}</legend>
      {EVENTS.map((event) => (
        <Checkbox
          key={event}
          label={<code>{event}</code>}
          checked={events.includes(event)}
          onChange={(checked) =>
            onChange(EVENTS.filter((each) => (each === event ? checked : events.includes(each))))
          }
        />
      ))}
    </fieldset>
  );
}
