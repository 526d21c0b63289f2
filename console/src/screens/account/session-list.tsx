import { useChange } from "../../api/change";
import { api } from "../../api/client";
import { useList } from "../../api/lists";
import type { components } from "../../api/schema";
import { Time } from "../../formats/time";
import { t } from "../../strings";
import { settingsTexts } from "../../strings/settings";
import { useAction } from "../../ui/action";
import { Button } from "../../ui/button";
import { List } from "../../ui/list";
import { errorMessage } from "../../ui/notice";
import { EmptyState, Page } from "../../ui/page";
import { Status } from "../../ui/status";
import { toast } from "../../ui/toast";
import { browserOf } from "./browser";

type Session = components["schemas"]["SessionOut"];

/** What the keys of queries start with. */
export const SESSIONS = "/node/sessions/";

const PAGE_SIZE = 50;
const texts = settingsTexts.sessions;

export function SessionListScreen() {
  const sessions = useList(SESSIONS, async (query) => {
    const { data } = await api.GET(SESSIONS, { params: { query } });
    return data;
  });
  const others = sessions.data?.some(({ current }) => !current) ?? false;
  return (
    <Page title={texts.title} facts={texts.text} actions={others ? <EndOthers /> : null}>
      <List
        label={texts.title}
        query={sessions}
        columns={COLUMNS}
        keyOf={({ id }) => id}
        empty={<EmptyState text={texts.empty} action={null} />}
      />
    </Page>
  );
}

function EndOthers() {
  const end = useChange(endOthers, {
    reloads: [SESSIONS],
    onDone: (count) => toast(texts.othersEnded(count)),
    onError: (error) => toast(errorMessage(error)),
  });
  return (
    <Button disabled={end.isPending} onClick={() => end.mutate(undefined)}>
      {texts.endOthers}
    </Button>
  );
}

/** End all sessions but this one, page by page; return how many. */
async function endOthers(): Promise<number> {
  let ended = 0;
  let cursor: string | null = null;
  do {
    const query: { limit: number; cursor?: string } = { limit: PAGE_SIZE, ...(cursor ? { cursor } : {}) };
    const { data } = await api.GET(SESSIONS, { params: { query } });
    for (const { id, current } of data?.items ?? []) {
      if (current) continue;
      await endSession(id);
      ended += 1;
    }
    cursor = data?.next_cursor ?? null;
  } while (cursor !== null);
  return ended;
}

function endSession(id: string) {
  return api.DELETE("/node/sessions/{session_id}/", { params: { path: { session_id: id } } });
}

function EndSession({ session }: { session: Session }) {
  const end = useAction(() => endSession(session.id), {
    reloads: [SESSIONS],
    onDone: () => toast(texts.ended),
  });
  if (session.current) return <Status state="live">{texts.current}</Status>;
  return <Button onClick={end}>{texts.end}</Button>;
}

const COLUMNS = [
  {
    title: texts.browser,
    cell: ({ user_agent }: Session) => <span title={user_agent ?? undefined}>{browserOf(user_agent)}</span>,
  },
  { title: texts.address, cell: ({ address }: Session) => address ?? t.common.unknown },
  { title: texts.begun, cell: ({ created_at }: Session) => <Time iso={created_at} /> },
  { title: texts.seen, cell: ({ last_seen_at }: Session) => <Time iso={last_seen_at} /> },
  { title: texts.end, cell: (session: Session) => <EndSession session={session} /> },
];
