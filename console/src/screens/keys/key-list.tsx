import { Link, Outlet } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { useState } from "react";
import { count } from "../../formats/formats";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { keyTexts } from "../../strings/keys";
import { ButtonLink } from "../../ui/button";
import { List } from "../../ui/list";
import { EmptyState, Page } from "../../ui/page";
import { KeyMenu } from "./key-actions";
import { KeyStateWithWarnings } from "./key-state";
import styles from "./keys.module.css";
import { OpenedDeployments } from "./opened-deployments";
import { type Key, useKeys } from "./queries";
import { RotateKeyDialog } from "./rotate-key";

export function KeyListScreen() {
  const keys = useKeys();
  const [rotated, setRotated] = useState<Key | null>(null);
  return (
    <Page title={keyTexts.title} facts={keyTexts.tip} actions={<CreateKey />}>
      <List
        label={keyTexts.title}
        query={keys}
        columns={columns(setRotated)}
        keyOf={(key) => key.id}
        empty={<EmptyState text={keyTexts.empty} action={<CreateKey />} />}
      />
      {rotated ? <RotateKeyDialog apiKey={rotated} onClose={() => setRotated(null)} /> : null}
      <Outlet />
    </Page>
  );
}

function CreateKey() {
  return (
    <ButtonLink to="/settings/keys/new" look="primary">
      <Plus size={16} aria-hidden />
      {keyTexts.create}
    </ButtonLink>
  );
}

/** When and from where a key was used last; of one that is replaced, how often since then. */
function LastUse({ apiKey }: { apiKey: Key }) {
  if (!apiKey.last_used_at) return keyTexts.never;
  const since = apiKey.state === "rotating" ? keyTexts.since(count(apiKey.calls_since_rotation ?? 0)) : null;
  return (
    <span className={styles.parts}>
      {since ? <span>{since}</span> : null}
      <Time iso={apiKey.last_used_at} />
      {apiKey.last_address ? <span className={styles.address}>{apiKey.last_address}</span> : null}
    </span>
  );
}

function columns(onRotate: (apiKey: Key) => void) {
  return [
    {
      title: keyTexts.name,
      cell: (key: Key) => (
        <Link to="/settings/keys/$keyId" params={{ keyId: key.id }} className={styles.name}>
          {key.name}
        </Link>
      ),
    },
    { title: keyTexts.key, cell: (key: Key) => <code>{key.masked}</code> },
    { title: keyTexts.opens, cell: (key: Key) => <OpenedDeployments apiKey={key} /> },
    { title: keyTexts.environment, cell: (key: Key) => key.environment ?? t.common.unknown },
    { title: keyTexts.state, cell: (key: Key) => <KeyStateWithWarnings apiKey={key} /> },
    { title: keyTexts.used, cell: (key: Key) => <LastUse apiKey={key} /> },
    { title: keyTexts.made, cell: (key: Key) => <Time iso={key.created_at} /> },
    { title: keyTexts.actions, cell: (key: Key) => <KeyMenu apiKey={key} onRotate={onRotate} /> },
  ];
}
