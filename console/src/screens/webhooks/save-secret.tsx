import { webhookTexts } from "../../strings/webhooks";
import { CodeBlock } from "../../ui/copy";
import { SecretDialog } from "../../ui/secret-dialog";

/** Shows a webhook's secret this once. */
export function SaveSecretDialog({ secret, onDone }: { secret: string; onDone: () => void }) {
  const { secretTitle, secretText, leaveTitle, leaveText, stay } = webhookTexts;
  return (
    <SecretDialog
      title={secretTitle}
      text={secretText}
      question={{ title: leaveTitle, text: leaveText, stay }}
      onDone={onDone}
    >
      <CodeBlock label={webhookTexts.secret} code={secret} copyLabel={webhookTexts.copySecret} />
      <CodeBlock
        label={webhookTexts.secretEnv}
        code={`SLIPSTREAM_WEBHOOK_SECRET=${secret}`}
        copyLabel={webhookTexts.copyLine}
      />
    </SecretDialog>
  );
}
