import type {
  BaseInputTemplateProps,
  FieldTemplateProps,
  MultiSchemaFieldTemplateProps,
  ObjectFieldTemplateProps,
  WidgetProps,
} from "@rjsf/utils";
import type { ReactNode } from "react";
import { editorTexts } from "../../../strings/editor";
import { TextInput } from "../../../ui/field";
import fieldStyles from "../../../ui/field.module.css";
import { Select } from "../../../ui/select";
import { descriptionId } from "./described";
import styles from "./form.module.css";

/** A label, a control, what is wrong, and what it is for. */
function FieldTemplate(props: FieldTemplateProps) {
  const { id, schema, uiSchema, children, rawErrors = [], required } = props;
  const errors = [...new Set(rawErrors)];
  const isGroup = schema.properties !== undefined && uiSchema?.["ui:field"] === undefined;
  if (!schema.title || schema.oneOf || isGroup)
    return (
      <>
        {children}
        <Errors errors={errors} />
      </>
    );
  return (
    <div className={fieldStyles.field}>
      <label htmlFor={id} className={fieldStyles.label}>
        {schema.title}
        {required ? <span aria-hidden>{REQUIRED}</span> : null}
      </label>
      {children}
      <div id={descriptionId(id)} className={styles.description}>
        <Errors errors={errors} />
        {schema.description ? <span className={fieldStyles.hint}>{schema.description}</span> : null}
      </div>
    </div>
  );
}

const REQUIRED = " *";

function Errors({ errors }: { errors: readonly string[] }): ReactNode {
  return errors.map((error) => (
    <span key={error} className={fieldStyles.error}>
      {error}
    </span>
  ));
}

function ObjectFieldTemplate({ properties }: ObjectFieldTemplateProps) {
  return <div className={styles.form}>{properties.map(({ content }) => content)}</div>;
}

/** Which of several kinds of settings is used, above their fields. */
function MultiSchemaFieldTemplate({ selector, optionSchemaField }: MultiSchemaFieldTemplateProps) {
  return (
    <div className={styles.form}>
      {selector}
      {optionSchemaField}
    </div>
  );
}

function BaseInputTemplate(props: BaseInputTemplateProps) {
  const { id, value, type, schema, required, rawErrors = [], onChange, options } = props;
  const isNumber = type === "number" || schema.type === "number" || schema.type === "integer";
  return (
    <TextInput
      id={id}
      value={value ?? ""}
      inputMode={isNumber ? "decimal" : undefined}
      placeholder={schema.default === undefined ? undefined : String(schema.default)}
      aria-required={required}
      aria-invalid={rawErrors.length > 0}
      aria-describedby={descriptionId(id)}
      onValueChange={(text) => onChange(text === "" ? options.emptyValue : text)}
    />
  );
}

function SelectWidget({ id, value, options, label, schema, onChange, rawErrors = [] }: WidgetProps) {
  const choices = (options.enumOptions ?? []).map((option) => ({
    value: String(option.value),
    label: option.label,
  }));
  return (
    <Select
      id={id}
      aria-label={schema.title ? undefined : label || editorTexts.panel.variant}
      aria-invalid={rawErrors.length > 0}
      aria-describedby={descriptionId(id)}
      value={String(value ?? schema.default ?? "")}
      options={choices}
      onChange={(chosen) =>
        onChange(options.enumOptions?.find((option) => String(option.value) === chosen)?.value)
      }
    />
  );
}

export const TEMPLATES = {
  BaseInputTemplate,
  FieldTemplate,
  MultiSchemaFieldTemplate,
  ObjectFieldTemplate,
};
export const WIDGETS = { SelectWidget };
