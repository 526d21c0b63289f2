import { Autocomplete } from "@base-ui/react/autocomplete";
import { Dialog } from "@base-ui/react/dialog";
import { keepPreviousData } from "@tanstack/react-query";
import { useRouter } from "@tanstack/react-router";
import { Search } from "lucide-react";
import { type ClipboardEvent, useEffect, useEffectEvent, useState } from "react";
import { hooks } from "../../api/client";
import type { components } from "../../api/schema";
import { useSession } from "../../api/session";
import { shortId } from "../../formats/formats";
import { paletteTexts } from "../../strings/palette";
import dialog from "../../ui/dialog.module.css";
import { useDebounced } from "../../ui/use-debounced";
import { copyIdOf } from "../copy-id";
import { objectAt, pathOf } from "../objects";
import { closeOverlay, openOverlay } from "../overlay";
import { recentObjects } from "../recent";
import { keyIn, withoutKeys } from "./api-key";
import { pastedCall } from "./curl-line";
import { commands, contains, type Entry, type EntryGroup, matching, screens, verbs } from "./entries";
import styles from "./palette.module.css";

type Found = components["schemas"]["SearchItemOut"];

const TYPING_MILLISECONDS = 150;
const MAX_LENGTH = 200;
const WHOLE_ID = /^(?:req_)?[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$|^msg_\w+$/i;

/** Finds objects, screens and what can be done, by a text or by what is pasted. */
export function PaletteDialog() {
  return (
    <Dialog.Root open onOpenChange={(open) => !open && closeOverlay()}>
      <Dialog.Portal>
        <Dialog.Backdrop className={dialog.backdrop} />
        <Dialog.Popup className={`${dialog.popup} ${styles.popup}`} aria-label={paletteTexts.title}>
          <Palette />
          <Dialog.Close className={styles.close}>{paletteTexts.close}</Dialog.Close>
        </Dialog.Popup>
      </Dialog.Portal>
    </Dialog.Root>
  );
}

function Palette() {
  const [text, setText] = useState("");
  /** What a pasted key was; it is gone, and its mask is in the field. */
  const [key, setKey] = useState<"none" | "complete" | "mistyped">("none");
  /** A pasted id or mask: the one object that it finds is opened. */
  const [opens, setOpens] = useState<string | null>(null);
  const { go, groups } = useEntries(text);
  const found = useFound(text);

  const change = (value: string, isPasted: boolean) => {
    const kind = keyIn(value.trim());
    const kept = withoutKeys(value).slice(0, MAX_LENGTH);
    setKey(kind);
    setText(kept);
    setOpens(isPasted && (kind !== "none" || WHOLE_ID.test(kept.trim())) ? kept.trim() : null);
  };
  const paste = (event: ClipboardEvent<HTMLInputElement>) => {
    const pasted = event.clipboardData.getData("text/plain");
    const call = pastedCall(pasted);
    event.preventDefault();
    if (call) go(`/deployments/${call.deploymentId}/try${call.fragment && `#${call.fragment}`}`);
    else {
      const { value, selectionStart, selectionEnd } = event.currentTarget;
      const start = selectionStart ?? value.length;
      change(value.slice(0, start) + pasted.trim() + value.slice(selectionEnd ?? start), true);
    }
  };
  const items = found.items.map((item) => ({
    value: `found ${item.kind} ${item.id}`,
    label: item.title,
    note: noteOf(item),
    act: () => go(pathOf(item)),
  }));
  // What the gateway finds comes late: it must not take the place of the line that Enter would choose.
  const shown = items.length ? [...groups, { value: paletteTexts.groups.found, items }] : groups;
  const openOnly = useEffectEvent(() => {
    if (items.length === 1) items[0]?.act();
    setOpens(null);
  });
  const isAnswered = opens !== null && found.q === opens;
  useEffect(() => {
    if (isAnswered) openOnly();
  }, [isAnswered]);
  return (
    <Autocomplete.Root
      open
      inline
      items={shown}
      filter={null}
      autoHighlight="always"
      keepHighlight
      value={text}
      onValueChange={(value, { reason }) => reason !== "item-press" && change(value, false)}
      itemToStringValue={(entry: Entry) => entry.label}
    >
      <div className={styles.field}>
        <Search size={16} aria-hidden />
        <Autocomplete.Input
          // The dialog focuses a frame later: letters typed before would be lost.
          autoFocus
          className={styles.input}
          aria-label={paletteTexts.input}
          placeholder={paletteTexts.placeholder}
          onPaste={paste}
        />
      </div>
      {key === "none" ? null : (
        <p role="status" className={styles.said} data-bad={key === "mistyped" || undefined}>
          {key === "complete" ? paletteTexts.key : paletteTexts.mistyped}
        </p>
      )}
      {found.hasFailed ? (
        <p role="status" className={styles.said} data-bad>
          {paletteTexts.failed}
        </p>
      ) : null}
      <Autocomplete.Empty className={styles.empty}>
        {shown.length ? null : found.isLoading ? paletteTexts.searching : paletteTexts.empty}
      </Autocomplete.Empty>
      <Autocomplete.List className={styles.list}>{group}</Autocomplete.List>
      <p className={styles.hint}>{paletteTexts.hint}</p>
    </Autocomplete.Root>
  );
}

function group({ value, items }: EntryGroup) {
  return (
    <Autocomplete.Group key={value} items={items}>
      <Autocomplete.GroupLabel className={styles.title}>{value}</Autocomplete.GroupLabel>
      <Autocomplete.Collection>
        {(entry: Entry) => (
          <Autocomplete.Item key={entry.value} value={entry} className={styles.item} onClick={entry.act}>
            <span className={styles.label}>{entry.label}</span>
            {entry.note ? <span className={styles.note}>{entry.note}</span> : null}
          </Autocomplete.Item>
        )}
      </Autocomplete.Collection>
    </Autocomplete.Group>
  );
}

/** What the palette offers without asking the gateway. */
function useEntries(text: string) {
  const router = useRouter();
  const user = useSession(({ session }) => session?.user);
  const here = window.location.pathname.slice(router.basepath.length);
  const go = (path: string) => {
    closeOverlay();
    router.history.push(router.basepath + path);
  };
  const copyId = () => {
    closeOverlay();
    copyIdOf(here);
  };
  const recent = recentObjects(user?.id ?? "").map((object) => ({
    value: `recent ${object.kind} ${object.id}`,
    label: object.title,
    act: () => go(pathOf(object)),
  }));
  const groups = [
    ...(text.trim() ? [] : [{ value: paletteTexts.groups.recent, items: recent }]),
    { value: paletteTexts.groups.object, items: verbs(objectAt(here), go, copyId) },
    { value: paletteTexts.groups.screens, items: screens(go, user?.role === "member") },
    { value: paletteTexts.groups.commands, items: commands(go, () => openOverlay("shortcuts")) },
  ];
  return { go, groups: matching(groups, text) };
}

/**
 * The objects that the gateway finds; `q` is the text that they were found by.
 *
 * Until it has answered for the present text, those of an earlier text stay whose title contains the
 * present one: Enter must not open what no longer fits.
 */
function useFound(text: string) {
  const q = useDebounced(text.trim(), TYPING_MILLISECONDS);
  const query = hooks.useQuery(
    "get",
    "/node/search/",
    { params: { query: { q } } },
    { enabled: q !== "", placeholderData: keepPreviousData },
  );
  const present = text.trim();
  const isPresent = q !== "" && present !== "";
  const items = isPresent ? (query.data?.items ?? []) : [];
  const isOfPresent = q === present && !query.isPlaceholderData;
  return {
    items: isOfPresent ? items : items.filter(({ title }) => contains(title, present)),
    q: query.isSuccess && !query.isPlaceholderData ? q : null,
    isLoading: present !== "" && (q !== present || query.isFetching),
    hasFailed: isPresent && query.isError,
  };
}

function noteOf({ kind, id, subtitle, state }: Found): string {
  const named = kind === "run" || kind === "webhook_delivery" ? shortId(id) : null;
  return [paletteTexts.kinds[kind], named, subtitle, state].filter(Boolean).join(" · ");
}
