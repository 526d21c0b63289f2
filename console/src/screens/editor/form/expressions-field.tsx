import type { FieldProps } from "@rjsf/utils";
import { Plus, X } from "lucide-react";
import { useState } from "react";
import { isSame } from "../../../formats/same";
import { editorTexts } from "../../../strings/editor";
import { Button, IconButton } from "../../../ui/button";
import { TextInput } from "../../../ui/field";
import fieldStyles from "../../../ui/field.module.css";
import { descriptionId } from "./described";
import { ExpressionInput } from "./expression-input";
import styles from "./form.module.css";
import { kindOf } from "./samples";

interface Row {
  name: string;
  value: string;
}

type Value = Record<string, string> | string | undefined;

/** Expressions or templates by names, or where the schema allows it a single expression. */
export function ExpressionsField(props: FieldProps) {
  const { fieldPathId, schema, onChange } = props;
  const formData = props.formData as Value;
  const change = (value: Value) => onChange(value, fieldPathId.path);
  const isEither = schema.anyOf !== undefined;
  return (
    <fieldset
      id={fieldPathId.$id}
      aria-label={schema.title}
      aria-describedby={descriptionId(fieldPathId.$id)}
      className={styles.form}
    >
      {typeof formData === "string" ? (
        <ExpressionInput
          id={`${fieldPathId.$id}-one`}
          kind={kindOf(props.uiSchema)}
          label={schema.title ?? ""}
          value={formData}
          onChange={change}
        />
      ) : (
        <Rows field={props} value={formData} onChange={change} />
      )}
      {isEither && (formData === undefined || typeof formData === "string") ? (
        <Button look="quiet" onClick={() => change(formData === undefined ? "" : undefined)}>
          {formData === undefined ? editorTexts.expression.asValue : editorTexts.expression.asFields}
        </Button>
      ) : null}
    </fieldset>
  );
}

interface RowsProps {
  field: FieldProps;
  value: Record<string, string> | undefined;
  onChange: (value: Value) => void;
}

function Rows({ field, value, onChange }: RowsProps) {
  const [rows, setRows] = useState<readonly Row[]>(() => rowsOf(value));
  // What was changed elsewhere, undone or merged, replaces the rows; those that cannot be saved stay.
  const shown = isSame(expressionsOf(rows), value) ? rows : [...rowsOf(value), ...rows.filter(isUnsaved)];
  const { $id } = field.fieldPathId;
  const errors = field.errorSchema as Record<string, { __errors?: string[] }> | undefined;
  const change = (changed: readonly Row[]) => {
    setRows(changed);
    if (!isSame(expressionsOf(changed), value)) onChange(expressionsOf(changed));
  };
  const set = (at: number, row: Row) => change(shown.with(at, row));
  return (
    <>
      {shown.map((row, at) => (
        <div key={at} className={styles.row}>
          <TextInput
            aria-label={editorTexts.panel.fieldName(at + 1)}
            aria-invalid={isUnsaved(row, at, shown)}
            aria-describedby={`${$id}-${at}-name`}
            value={row.name}
            onValueChange={(name) => set(at, { ...row, name })}
          />
          <ExpressionInput
            id={`${$id}-${at}`}
            label={editorTexts.panel.fieldValue(row.name)}
            value={row.value}
            kind={kindOf(field.uiSchema)}
            isInvalid={Boolean(errors?.[row.name]?.__errors?.length)}
            onChange={(text) => set(at, { ...row, value: text })}
          />
          <IconButton
            label={editorTexts.panel.removeField(row.name)}
            onClick={() => change(shown.toSpliced(at, 1))}
          >
            <X size={14} aria-hidden />
          </IconButton>
          <div id={`${$id}-${at}-name`} className={styles.rowError}>
            {isUnsaved(row, at, shown) ? (
              <span className={fieldStyles.error}>
                {row.name === "" ? editorTexts.panel.noName : editorTexts.panel.sameName}
              </span>
            ) : null}
          </div>
          <div id={descriptionId(`${$id}-${at}`)} className={styles.rowError}>
            {(errors?.[row.name]?.__errors ?? []).map((error) => (
              <span key={error} className={fieldStyles.error}>
                {error}
              </span>
            ))}
          </div>
        </div>
      ))}
      <Button look="quiet" onClick={() => change([...shown, { name: freeName(shown), value: "" }])}>
        <Plus size={14} aria-hidden />
        {editorTexts.panel.addField}
      </Button>
    </>
  );
}

function rowsOf(value: Record<string, string> | undefined): Row[] {
  return Object.entries(value ?? {}).map(([name, text]) => ({ name, value: String(text) }));
}

function expressionsOf(rows: readonly Row[]): Record<string, string> | undefined {
  const named = rows.filter((row, at) => !isUnsaved(row, at, rows));
  return named.length ? Object.fromEntries(named.map(({ name, value }) => [name, value])) : undefined;
}

/** A row without a name, or with the name of one above it, has no place in the value. */
function isUnsaved({ name }: Row, at: number, rows: readonly Row[]): boolean {
  return name === "" || rows.findIndex((row) => row.name === name) < at;
}

function freeName(rows: readonly Row[]): string {
  const taken = new Set(rows.map(({ name }) => name));
  let number = 1;
  while (taken.has(`${editorTexts.panel.newField}${number}`)) number += 1;
  return `${editorTexts.panel.newField}${number}`;
}
