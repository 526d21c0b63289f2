import { type DragEvent, memo, type ReactNode, useCallback, useId, useMemo, useState } from "react";
import { isObject, type Json, type JsonObject, stringifyJson } from "../formats/lossless-json";
import { inputTexts } from "../strings/inputs";
import { Checkbox } from "../ui/choice";
import { Field, TextArea, TextInput } from "../ui/field";
import { Select } from "../ui/select";
import { FileField } from "./file-field";
import { ImageField } from "./image-field";
import { type Input, type Path, parseValue } from "./input";
import styles from "./inputs.module.css";
import { NumberArrayField } from "./number-array-field";
import { useReason } from "./refusal";
import { controlOf, fits, nameOfVariant, resolved, startOf } from "./schema";
import { numberOf } from "./tensor";

interface InputFormProps {
  input: Input;
  schema: JsonObject;
  limit: number;
}

const TOP: Path = [];

/**
 * The form of an input. Not by RJSF, as in the flow editor: that copies and compares the whole value at each
 * edit, which for a picture are hundreds of thousands of numbers, and it rounds integers beyond 2^53.
 */
export function InputForm({ input: { value, setAt }, schema, limit }: InputFormProps) {
  return (
    <div className={styles.form}>
      <Members schema={schema} root={schema} value={value} path={TOP} setAt={setAt} limit={limit} />
    </div>
  );
}

interface Shared {
  root: JsonObject;
  path: Path;
  setAt: Input["setAt"];
  limit: number;
}

interface MembersProps extends Shared {
  schema: Json;
  value: JsonObject;
}

/** The members that the schema names, and then the others that the value has. */
function Members({ schema, value, root, ...shared }: MembersProps) {
  const { properties, required } = resolved(schema, root);
  const known = isObject(properties) ? properties : {};
  const names = [...new Set([...Object.keys(known), ...Object.keys(value)])];
  const needed = Array.isArray(required) ? required : [];
  if (!names.length) return <p className={styles.hint}>{inputTexts.form.none}</p>;
  return names.map((name) => (
    <Member
      key={name}
      name={name}
      schema={known[name] ?? EMPTY}
      value={value[name]}
      isRequired={needed.includes(name)}
      root={root}
      {...shared}
    />
  ));
}

const EMPTY: JsonObject = {};

interface MemberProps extends Shared {
  name: string;
  schema: Json;
  value: Json | undefined;
  isRequired: boolean;
}

/** One member; it is rendered again only if its own value changes. */
const Member = memo(function Member({
  name,
  schema,
  value,
  isRequired,
  root,
  path,
  setAt,
  limit,
}: MemberProps) {
  const own = useMemo(() => [...path, name], [path, name]);
  const change = useCallback((next: Json | undefined) => setAt(own, next), [setAt, own]);
  const control = useMemo(() => controlOf(schema, root, value), [schema, root, value]);
  const { title, description } = resolved(schema, root);
  const label = typeof title === "string" ? title : name;
  const hint = [
    typeof description === "string" ? description : null,
    isRequired ? inputTexts.form.required : null,
  ]
    .filter(Boolean)
    .join(" · ");
  const reason = useReason(own, value, control.kind !== "object" && control.kind !== "variants");
  const shared = { label, hint, change, reason };
  switch (control.kind) {
    case "boolean":
      return (
        <Marked reason={reason}>
          <Checkbox label={label} checked={value === true} onChange={change} />
        </Marked>
      );
    case "number":
      return <NumberInput {...shared} value={value} />;
    case "choice":
      return <ChoiceInput {...shared} value={value} options={control.options} />;
    case "text":
      return <TextMember {...shared} value={value} />;
    case "file":
      return (
        <Marked reason={reason}>
          <FileField
            name={label}
            type={control.type}
            value={typeof value === "string" ? value : ""}
            onChange={change}
            limit={limit}
          />
        </Marked>
      );
    case "object":
      return (
        <fieldset className={styles.group}>
          <legend className={styles.legend}>{label}</legend>
          {reason === undefined ? null : <p className={styles.error}>{reason}</p>}
          <Members
            schema={schema}
            root={root}
            value={isObject(value) ? value : EMPTY}
            path={own}
            setAt={setAt}
            limit={limit}
          />
        </fieldset>
      );
    case "numbers":
      return (
        <Marked reason={reason}>
          <NumberArrayField
            name={name}
            tensor={control.tensor}
            value={value}
            onChange={change}
            limit={limit}
          />
        </Marked>
      );
    case "image":
      return (
        <Marked reason={reason}>
          <ImageField
            name={name}
            tensor={control.tensor}
            frame={control.frame}
            value={value}
            onChange={change}
            limit={limit}
          />
        </Marked>
      );
    case "variants":
      return (
        <VariantMember
          {...shared}
          variants={control.variants}
          own={own}
          member={{ name, isRequired, root, path, setAt, limit }}
          value={value}
        />
      );
    case "json":
      return <JsonMember {...shared} value={value} />;
  }
});

/** Says below a control of several parts why its value was refused. */
function Marked({ reason, children }: { reason: string | undefined; children: ReactNode }) {
  const id = useId();
  const marks = reason === undefined ? {} : { role: "group", "aria-describedby": id };
  return (
    <div {...marks}>
      {children}
      {reason === undefined ? null : (
        <p id={id} className={styles.error}>
          {reason}
        </p>
      )}
    </div>
  );
}

interface ScalarProps {
  label: string;
  hint: string;
  /** Why the gateway has refused the value. */
  reason: string | undefined;
  value: Json | undefined;
  /** Undefined: the member is removed. */
  change: (value: Json | undefined) => void;
}

interface Typed {
  text: string;
  /** The value that the text became, or left as it was. */
  value: Json | undefined;
  error: string | null;
}

/** A text that is typed, while the value is the one that it became; else the text of the value. */
function useTyped(value: Json | undefined, shown: string) {
  const [typed, setTyped] = useState<Typed | null>(null);
  const current = typed?.value === value ? typed : null;
  return { text: current?.text ?? shown, error: current?.error ?? undefined, setTyped };
}

function NumberInput({ label, hint, reason, value, change }: ScalarProps) {
  const { text, error, setTyped } = useTyped(value, textOf(value));
  const type = (next: string) => {
    const number = next.trim() === "" ? undefined : numberOf(next);
    const isWrong = number === undefined && next.trim() !== "";
    setTyped({
      text: next,
      value: isWrong ? value : number,
      error: isWrong ? inputTexts.form.notNumber(next) : null,
    });
    if (!isWrong) change(number);
  };
  return (
    <Field label={label} hint={hint} error={error ?? reason}>
      <TextInput value={text} inputMode="decimal" onValueChange={type} />
    </Field>
  );
}

function textOf(value: Json | undefined): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : stringifyJson(value);
}

function TextMember({ label, hint, reason, value, change }: ScalarProps) {
  const drop = (event: DragEvent) => {
    const file = event.dataTransfer.files[0];
    if (!file) return; // a text, which the browser inserts
    event.preventDefault();
    file.text().then(change);
  };
  return (
    <div className={styles.short}>
      <Field label={label} hint={[hint, inputTexts.file.text].filter(Boolean).join(" · ")} error={reason}>
        <TextArea value={textOf(value)} onChange={(event) => change(event.target.value)} onDrop={drop} />
      </Field>
    </div>
  );
}

function ChoiceInput(props: ScalarProps & { options: readonly Json[] }) {
  const { label, hint, reason, value, options, change } = props;
  const at =
    value === undefined ? -1 : options.findIndex((one) => stringifyJson(one) === stringifyJson(value));
  const choices = options.map((one, index) => ({ value: String(index), label: textOf(one) }));
  const none = { value: "-1", label: value === undefined ? inputTexts.form.choose : textOf(value) };
  return (
    <Field label={label} hint={hint} error={reason}>
      <Select
        value={String(at)}
        options={at < 0 ? [none, ...choices] : choices}
        onChange={(chosen) => change(options[Number(chosen)])}
      />
    </Field>
  );
}

interface VariantProps extends ScalarProps {
  variants: readonly Json[];
  own: Path;
  member: Omit<MemberProps, "schema" | "value">;
}

/** A member whose schema is chosen among several; at first it is the one that the value fits. */
function VariantMember({ label, reason, variants, own, member, value }: VariantProps) {
  const { root, setAt } = member;
  const [chosen, setChosen] = useState<number | null>(null);
  const fitting = variants.findIndex((variant) => fits(variant, root, value));
  const at = chosen ?? Math.max(0, fitting);
  const choose = (index: number) => {
    const variant = variants[index] ?? EMPTY;
    setChosen(index);
    if (!fits(variant, root, value)) setAt(own, startOf(variant, root));
  };
  return (
    <fieldset className={styles.group}>
      <legend className={styles.legend}>{label}</legend>
      {reason === undefined ? null : <p className={styles.error}>{reason}</p>}
      <Field label={inputTexts.form.variant}>
        <Select
          value={String(at)}
          options={variants.map((variant, index) => ({
            value: String(index),
            label: nameOfVariant(variant, root) ?? inputTexts.form.variantOf(index + 1),
          }))}
          onChange={(index) => choose(Number(index))}
        />
      </Field>
      <Member key={at} {...member} schema={variants[at] ?? EMPTY} value={value} />
    </fieldset>
  );
}

/** A member as JSON; while the text is none, the value stays as it was. */
function JsonMember({ label, hint, reason, value, change }: ScalarProps) {
  const { text, error, setTyped } = useTyped(value, value === undefined ? "" : stringifyJson(value));
  const type = (next: string) => {
    if (next.trim() === "") {
      setTyped({ text: next, value: undefined, error: null });
      change(undefined);
      return;
    }
    try {
      const parsed = parseValue(next);
      setTyped({ text: next, value: parsed, error: null });
      change(parsed);
    } catch (reason) {
      setTyped({ text: next, value, error: (reason as Error).message });
    }
  };
  return (
    <div className={styles.short}>
      <Field label={label} hint={hint} error={error ?? reason}>
        <TextArea value={text} onChange={(event) => type(event.target.value)} />
      </Field>
    </div>
  );
}
