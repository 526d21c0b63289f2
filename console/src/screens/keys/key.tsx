import { getRouteApi, Link } from "@tanstack/react-router";
import { useState } from "react";
import { count } from "../../formats/formats";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { Id } from "../../ui/copy";
import { Facts } from "../../ui/facts";
import { Loaded } from "../../ui/loading";
import { Notice } from "../../ui/notice";
import { Page, Section } from "../../ui/page";
import { KeyButtons } from "./key-actions";
import { KeyAddresses } from "./key-addresses";
import { KeyCalls } from "./key-calls";
import { KeySettingsForm } from "./key-settings-form";
import { KeyState } from "./key-state";
import styles from "./keys.module.css";
import { OpenedDeployments } from "./opened-deployments";
import { type Key, useKey } from "./queries";
import { RotateKeyDialog } from "./rotate-key";
import { Replacement, RotatingKey } from "./rotating-key";

/** Refusals before were of an earlier time at which it was not valid. */
const RECENT_MILLISECONDS = 86_400_000;

const route = getRouteApi("/app/settings/keys/$keyId");

export function KeyScreen() {
  const { keyId } = route.useParams();
  const key = useKey(keyId);
  const [rotated, setRotated] = useState<Key | null>(null);
  return (
    <>
      <Loaded query={key}>{(loaded) => <KeyPage key={keyId} apiKey={loaded} onRotate={setRotated} />}</Loaded>
      {rotated ? <RotateKeyDialog apiKey={rotated} onClose={() => setRotated(null)} /> : null}
    </>
  );
}

function KeyPage({ apiKey, onRotate }: { apiKey: Key; onRotate: (apiKey: Key) => void }) {
  const navigate = route.useNavigate();
  const toList = () => {
    if (window.location.pathname.includes(apiKey.id)) void navigate({ to: "/settings/keys" });
  };
  return (
    <Page
      title={apiKey.name}
      area={keyTexts.title}
      facts={
        <>
          <KeyState apiKey={apiKey} />
          <code>{apiKey.masked}</code>
          <Id id={apiKey.id} />
        </>
      }
      actions={<KeyButtons apiKey={apiKey} onRotate={onRotate} onDeleted={toList} />}
    >
      {apiKey.warnings.map(({ code, message }) => (
        <Notice key={code} kind="warn">
          <p>{message}</p>
        </Notice>
      ))}
      <StillTried apiKey={apiKey} />
      {apiKey.state === "rotating" ? <RotatingKey apiKey={apiKey} /> : null}
      <Section title={keyTexts.facts}>
        <Facts facts={facts(apiKey)} />
      </Section>
      <Section title={keyTexts.perDay}>
        <KeyCalls id={apiKey.id} />
        <div className={styles.parts}>
          <Link to="/runs" search={{ key: apiKey.id }}>
            {keyTexts.itsRuns}
          </Link>
          <Link to="/settings/audit" search={{ subject_id: apiKey.id }}>
            {keyTexts.itsAudit}
          </Link>
        </div>
      </Section>
      <Section title={keyTexts.addresses}>
        <KeyAddresses id={apiKey.id} />
      </Section>
      <Section title={keyTexts.settings}>
        <KeySettingsForm keyId={apiKey.id} />
      </Section>
    </Page>
  );
}

/** That calls come with a key that is not valid: after a leak from a thief, else from a caller that was forgotten. */
function StillTried({ apiKey }: { apiKey: Key }) {
  const isEnded = apiKey.state === "deactivated" || apiKey.state === "expired";
  const last = apiKey.last_refused_at;
  const isRecent = last !== null && Date.now() - Date.parse(last) < RECENT_MILLISECONDS;
  if (!isEnded || !isRecent) return null;
  return (
    <Notice kind="warn" title={keyTexts.stillTried}>
      <p>{refusedOf(apiKey)}</p>
      <p>{keyTexts.stillTriedText}</p>
    </Notice>
  );
}

function refusedOf({ refused_uses: calls, last_refused_at: last }: Key) {
  if (!calls || last === null) return count(calls);
  return (
    <>
      {keyTexts.refusedUses(count(calls))}
      <Time iso={last} />
    </>
  );
}

function facts(key: Key) {
  const { created_at, expires_at, last_used_at, environment, replaces, replaced_by } = key;
  return [
    [keyTexts.opens, <OpenedDeployments key="opens" apiKey={key} />],
    [keyTexts.environment, environment ?? t.common.unknown],
    [keyTexts.made, <Time key="made" iso={created_at} />],
    [keyTexts.expires, expires_at ? <Time key="expires" iso={expires_at} /> : t.common.never],
    [keyTexts.used, last_used_at ? <Time key="used" iso={last_used_at} /> : keyTexts.never],
    [keyTexts.address, key.last_address ?? t.common.unknown],
    [keyTexts.uses, count(key.total_uses)],
    [keyTexts.refused, refusedOf(key)],
    ...(replaces ? [[keyTexts.replaces, <Replacement key="replaces" id={replaces} />] as const] : []),
    ...(replaced_by ? [[keyTexts.replacedBy, <Replacement key="by" id={replaced_by} />] as const] : []),
  ] as const;
}
