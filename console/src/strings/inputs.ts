/** Texts of inputs and outputs of calls. Loaded by the pages that try something. */
export const inputTexts = {
  views: { label: "Views of the input", form: "Form", json: "JSON", curl: "cURL" },
  form: {
    broken: (view: string) => `${view} has an error. The form shows the last input without one.`,
    brokenHint: "An edit here replaces what was typed there.",
    choose: "Choose",
    variant: "Variant",
    variantOf: (number: number) => `Variant ${number}`,
    none: "It has no members.",
    required: "required",
    notNumber: (text: string) => `"${text}" is no number; the input keeps the one before.`,
  },
  json: {
    label: "Input, as JSON",
    notJson: (reason: string) => `This is no JSON: ${reason}`,
    notObject: 'Expected a JSON object, such as {"x": [[1, 2]]}.',
    large: "It is too large to be edited as text. Use the form, or choose a file.",
  },
  curl: {
    label: "The call, as cURL",
    hint: "Paste a command to take its body. Keys are not kept.",
    mask: "YOUR_API_KEY",
    notCurl: "Expected a command that begins with curl.",
    bodies: (count: number) =>
      count === 0 ? "Expected a body: -d '…'. The command has none." : `Expected one body, got ${count}.`,
    file: (name: string) => `The body is in the file ${name}. Paste its content as JSON.`,
    notJson: (reason: string) => `The body is no JSON: ${reason}`,
    quote: (quote: string) => `A quotation mark (${quote}) is not closed.`,
    notInput: (expected: string) => `Expected a body such as ${expected}.`,
    large: "It is too large to be shown as a command. Download the body, and send it from the file.",
    download: "Download body",
  },
  size: {
    bodyOf: (size: string, limit: string) => `Body ${size} of at most ${limit}`,
    tooLarge: (size: string, limit: string) =>
      `The body has ${size}, and this installation accepts at most ${limit}. Make the input smaller.`,
  },
  share: {
    copy: "Copy link",
    tooLarge: "The input is too large for a link: at most 8 KiB.",
  },
  array: {
    any: "any",
    expects: (shape: string | null, datatype: string | null) =>
      `Expects ${[shape ?? "any shape", datatype].filter(Boolean).join(", ")}`,
    stats: (min: string, mean: string, max: string) => `min ${min} · mean ${mean} · max ${max}`,
    empty: "No numbers yet: paste them, choose a file, or fill it.",
    choose: "Choose file",
    file: (name: string) => `File for ${name}`,
    drop: "CSV, JSON or .npy: drop it here",
    fill: "Fill",
    fills: { zeros: "Zeros", ones: "Ones", ramp: "Ramp", normal: "Normal distribution" },
    addRow: "Add row",
    removeRow: "Remove row",
    grid: (name: string) => `${name}, as a table`,
    cell: (row: number, column: number) => `Row ${row}, column ${column}`,
    large: "Not shown as a table: it has more than 50 rows or columns, or more than two dimensions.",
    ragged: "Expected arrays of equal lengths that hold numbers.",
    raggedRow: (row: number, length: number, first: number) =>
      `Row ${row} has ${values(length)}, and row 1 has ${first}.`,
    rank: (rank: number, expected: number, shape: string) =>
      `Expected ${dimensions(expected)} (${shape}), got ${rank}.`,
    size: (dimension: number, size: number, expected: number, shape: string) =>
      `Dimension ${dimension} has ${values(size)}; the signature expects ${expected} (${shape}).`,
    noNumber: (line: number, column: number, text: string) =>
      `Line ${line}, column ${column}: "${text.slice(0, 40)}" is no number. Nothing was changed.`,
    notCell: (row: number, column: number, text: string) =>
      `Row ${row}, column ${column}: "${text.slice(0, 40)}" is no number; the input keeps the one before.`,
    noArray: "The file has no array of numbers.",
    fileTooLarge: (size: string, limit: string) => `The file has ${size}; at most ${limit} can be sent.`,
    tooMany: (count: string, limit: string) =>
      `${count} numbers: this page takes at most ${limit}. Send such an input from a program.`,
  },
  npy: {
    none: "This is no .npy file.",
    elements: (kind: string) =>
      `Elements of the kind ${kind.slice(0, 60)} cannot be sent. Save it as float32 or int64.`,
    cut: (expected: number, size: number) =>
      `The file is cut off: ${expected} bytes expected, ${size} are there.`,
  },
  image: {
    choose: "Choose picture",
    file: (name: string) => `Picture for ${name}`,
    drop: "Drop or paste a picture here",
    unreadable: (name: string) => `${name} is no picture that this browser can read.`,
    width: "Width",
    height: "Height",
    fit: "Fit",
    fits: { cover: "Cut what stands out", contain: "All of it, black around", stretch: "Stretch" },
    layout: "Order of dimensions",
    order: "Order of colours",
    scale: "Scale",
    scales: { "0-1": "0 to 1", "0-255": "0 to 255", standard: "Mean and deviation" },
    mean: "Mean",
    deviation: "Standard deviation",
    numbers: "Expected numbers of at least 0, separated by commas.",
    side: (max: number) => `Expected a whole number from 1 to ${max}.`,
    seen: "What the model sees",
    picture: (name: string) => `${name}, as the model sees it`,
    channel: "Channel",
    min: "Min",
    average: "Mean",
    max: "Max",
    tooLarge: (size: string, limit: string) =>
      `It would take about ${size}, and this installation accepts at most ${limit}. Choose a smaller size.`,
  },
  sound: {
    title: "From a sound file",
    rate: "Samples a second",
    hertz: (rate: string) => `${rate} Hz`,
    choose: "Choose sound",
    file: (name: string) => `Sound for ${name}`,
    drop: "Drop it here: all channels become one",
    unreadable: (name: string) => `${name} is no sound that this browser can read.`,
    tooLarge: (size: string, limit: string) => `The file has ${size}; at most ${limit} are read here.`,
    tooLong: (seconds: string, count: string, limit: string) =>
      `${seconds} are ${count} samples: this page takes at most ${limit}. Choose a lower rate, or cut it.`,
  },
  file: {
    choose: "Choose file",
    file: (name: string) => `File for ${name}`,
    drop: "Drop a file here",
    held: (size: string) => `Holds ${size}.`,
    none: "Holds nothing yet.",
    text: "A text file can be dropped here.",
    tooLarge: (size: string, limit: string) => `The file has ${size}; at most ${limit} can be sent.`,
  },
  output: {
    views: "Views of the answer",
    result: "Result",
    json: "JSON",
    download: "Download JSON",
    npy: (name: string) => `Download ${name} as .npy`,
    more: (count: string) => `${count} more are in the JSON.`,
    label: "Label",
    share: "Probability",
    row: (row: number) => `Row ${row}`,
    number: "Row",
    picture: (name: string) => `${name}, as a picture`,
  },
};

function values(count: number): string {
  return count === 1 ? "1 value" : `${count} values`;
}

function dimensions(count: number): string {
  return count === 1 ? "1 dimension" : `${count} dimensions`;
}
