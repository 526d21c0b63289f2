import { type Schema, Validator } from "@cfworker/json-schema";
import type { ValidatorType } from "@rjsf/utils";

const DRAFT = "2020-12";

/**
 * Tells forms which of a schema's alternatives a value is of.
 *
 * Not ajv, which compiles schemas to code: the Content-Security-Policy forbids that. Forms show the errors that
 * the gateway finds, so that they never say something else.
 */
export const validator: ValidatorType = {
  isValid: (schema, value) => check(schema, value).valid,
  rawValidation: (schema, value) => ({ errors: check(schema, value).errors as never[] }),
  validateFormData: () => ({ errors: [], errorSchema: {} }),
};

function check(schema: object | boolean, value: unknown) {
  return new Validator(schema as Schema | boolean, DRAFT).validate(asJson(value));
}

/** Without members that are undefined: a form has them for fields that were emptied. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value ?? null));
}
