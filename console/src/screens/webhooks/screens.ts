/** The screens of webhooks, which are loaded together. */
export { DeliveryDetails } from "./delivery";
export { DeliveryList } from "./delivery-list";
export { EndpointList } from "./endpoint-list";
export { SignatureCheck } from "./signature-check";
export { WebhooksScreen } from "./webhooks";
