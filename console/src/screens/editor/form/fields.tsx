import type { FieldProps, RegistryFieldsType } from "@rjsf/utils";
import { CasesField } from "./cases-field";
import { ExpressionInput } from "./expression-input";
import { ExpressionsField } from "./expressions-field";
import { JsonInput } from "./json-input";
import { FunctionField, ModelField, ModelVersionField } from "./reference-fields";
import { kindOf } from "./samples";
import { StatusesField } from "./statuses-field";

function ExpressionField({ fieldPathId, formData, name, onChange, rawErrors, schema, uiSchema }: FieldProps) {
  return (
    <ExpressionInput
      id={fieldPathId.$id}
      value={formData === undefined ? "" : String(formData)}
      label={schema.title ?? name}
      kind={kindOf(uiSchema)}
      isInvalid={Boolean(rawErrors?.length)}
      onChange={(text) => onChange(text === "" ? undefined : text, fieldPathId.path)}
    />
  );
}

function JsonField({ fieldPathId, formData, onChange }: FieldProps) {
  return (
    <JsonInput
      id={fieldPathId.$id}
      value={formData}
      onChange={(value) => onChange(value, fieldPathId.path)}
    />
  );
}

/** The controls of members that are more than a text, a number or a choice, by the names that the gateway uses. */
export const FIELDS: RegistryFieldsType = {
  cases: CasesField,
  expression: ExpressionField,
  expressions: ExpressionsField,
  function: FunctionField,
  json: JsonField,
  json_schema: JsonField,
  model: ModelField,
  model_version: ModelVersionField,
  statuses: StatusesField,
  template: ExpressionField,
  templates: ExpressionsField,
};
