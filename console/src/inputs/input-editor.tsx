import { Tabs } from "@base-ui/react/tabs";
import { type KeyboardEvent, useDeferredValue, useMemo } from "react";
import { bytes } from "../formats/formats";
import { type Json, type JsonObject, stringifyJson } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";
import { Button } from "../ui/button";
import { CopyButton } from "../ui/copy";
import { download } from "../ui/download";
import { Field, TextArea } from "../ui/field";
import { Notice } from "../ui/notice";
import tabs from "../ui/tabs.module.css";
import { bodyOfCommand, withoutKeys } from "./curl-words";
import { InputForm } from "./form";
import { fragmentOf, type Input, readObject } from "./input";
import styles from "./inputs.module.css";

/** What the call of an input looks like. */
export interface CallShape {
  /** Return the body. Throws where the input cannot be sent. */
  bodyOf: (value: JsonObject) => Json;
  /** Return the input of a body; null: it has none. */
  inputOf: (body: Json) => JsonObject | null;
  /** A body, in short. */
  expected: string;
  command: (body: Json) => string;
}

interface InputEditorProps {
  input: Input;
  /** Null: it is not known, and the input is JSON. */
  schema: JsonObject | null;
  call: CallShape;
  jsonLabel: string;
  hint: string;
  /** Bytes that a body may have. */
  limit: number;
  onSend: (event: KeyboardEvent) => void;
}

/** A longer text makes a field of text slow. */
const MAX_TEXT = 100_000;

/** An input as form, JSON and cURL. */
export function InputEditor(props: InputEditorProps) {
  const { input, schema, call, jsonLabel, hint, limit, onSend } = props;
  const { typed } = input;
  const brokenView = typed?.error ? inputTexts.views[typed.view] : null;
  const sendByKeys = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) onSend(event);
  };
  return (
    <Tabs.Root defaultValue={schema ? "form" : "json"} className={styles.editor} onKeyDown={sendByKeys}>
      <Tabs.List className={tabs.tabs} aria-label={inputTexts.views.label}>
        {schema ? <View value="form" /> : null}
        <View value="json" />
        <View value="curl" />
      </Tabs.List>
      {schema ? (
        <Tabs.Panel value="form" keepMounted className={styles.panel}>
          {brokenView ? (
            <Notice kind="warn" title={inputTexts.form.broken(brokenView)}>
              <p>{inputTexts.form.brokenHint}</p>
            </Notice>
          ) : null}
          <InputForm input={input} schema={schema} limit={limit} />
        </Tabs.Panel>
      ) : null}
      <Tabs.Panel value="json" className={styles.panel}>
        <JsonText input={input} label={jsonLabel} hint={hint} />
      </Tabs.Panel>
      <Tabs.Panel value="curl" className={styles.panel}>
        <Command input={input} call={call} />
      </Tabs.Panel>
    </Tabs.Root>
  );
}

function View({ value }: { value: "form" | "json" | "curl" }) {
  return (
    <Tabs.Tab value={value} className={tabs.tab}>
      {inputTexts.views[value]}
    </Tabs.Tab>
  );
}

function JsonText({ input, label, hint }: { input: Input; label: string; hint: string }) {
  const { value, typed, type } = input;
  const written = useMemo(() => stringifyJson(value), [value]);
  const mine = typed?.view === "json" ? typed : null;
  if (!mine && written.length > MAX_TEXT) return <p className={styles.hint}>{inputTexts.json.large}</p>;
  return (
    <Field label={label} hint={hint} error={mine?.error ?? undefined}>
      <TextArea
        value={mine?.text ?? written}
        onChange={(event) => type("json", event.target.value, readObject)}
      />
    </Field>
  );
}

function Command({ input: { value, typed, type }, call }: { input: Input; call: CallShape }) {
  const written = useMemo(() => writtenCommand(value, call), [value, call]);
  const mine = typed?.view === "curl" ? typed : null;
  const read = (text: string) => {
    const found = call.inputOf(bodyOfCommand(text));
    if (!found) throw new Error(inputTexts.curl.notInput(call.expected));
    return found;
  };
  const save = () => download(written.body, "body.json");
  const error = mine ? mine.error : written.error;
  return (
    <>
      <Field label={inputTexts.curl.label} hint={inputTexts.curl.hint} error={error ?? undefined}>
        <TextArea
          value={mine?.text ?? written.command}
          placeholder={written.isLarge ? inputTexts.curl.large : undefined}
          onChange={(event) => type("curl", withoutKeys(event.target.value, inputTexts.curl.mask), read)}
        />
      </Field>
      <div className={styles.tools}>
        {written.isLarge ? (
          <Button onClick={save}>{inputTexts.curl.download}</Button>
        ) : (
          <CopyButton text={mine?.text ?? written.command} />
        )}
      </div>
    </>
  );
}

function writtenCommand(value: JsonObject, call: CallShape) {
  try {
    const body = call.bodyOf(value);
    const text = stringifyJson(body);
    const isLarge = text.length > MAX_TEXT;
    return { body: text, command: isLarge ? "" : call.command(body), isLarge, error: null };
  } catch (error) {
    return { body: "", command: "", isLarge: false, error: (error as Error).message };
  }
}

/** The body of an input that is to be sent. */
export interface Body {
  text: string;
  /** Why it cannot be sent; null: it can. */
  problem: string | null;
  size: string;
}

/** Return the body of an input, and whether this installation accepts its size. */
export function useBody({ value, typed }: Input, { bodyOf }: CallShape, limit: number): Body {
  const settled = useDeferredValue(value);
  const body = useMemo(() => {
    try {
      const text = stringifyJson(bodyOf(settled));
      const size = new Blob([text]).size;
      const problem = size > limit ? inputTexts.size.tooLarge(bytes(size), bytes(limit)) : null;
      return { text, problem, size: inputTexts.size.bodyOf(bytes(size), bytes(limit)) };
    } catch (error) {
      return { text: "", problem: (error as Error).message, size: "" };
    }
  }, [settled, bodyOf, limit]);
  return typed?.error ? { ...body, problem: typed.error } : body;
}

/** How large the body is, why it cannot be sent, and a link that holds the input. */
export function BodyFacts({ input, body }: { input: Input; body: Body }) {
  const fragment = useMemo(() => fragmentOf(input.value), [input.value]);
  const address = window.location.href.replace(/#.*/, "");
  return (
    <>
      {body.problem !== null && !input.typed?.error ? (
        <Notice kind="bad">
          <p>{body.problem}</p>
        </Notice>
      ) : null}
      <div className={styles.tools}>
        <span className={styles.hint}>{body.size}</span>
        {fragment === null ? (
          <span className={styles.hint}>{inputTexts.share.tooLarge}</span>
        ) : (
          <CopyButton text={address + fragment} label={inputTexts.share.copy} />
        )}
      </div>
    </>
  );
}
