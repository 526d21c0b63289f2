import { expect, it } from "vitest";
import { bodyBytesOf, type Preparation, prepared } from "./pixels";

const HOW: Preparation = {
  width: 2,
  height: 1,
  fit: "stretch",
  layout: "NCHW",
  order: "RGB",
  channels: 3,
  scale: "0-255",
  mean: [],
  deviation: [],
  rank: 4,
};
/** Two pixels: orange, and half of a blue. */
const PIXELS = new Uint8ClampedArray([255, 128, 0, 255, 0, 0, 255, 128]);

it.each<[string, Partial<Preparation>, unknown]>([
  ["planes", {}, [[[[255, 0]], [[128, 0]], [[0, 255]]]]],
  [
    "pixels",
    { layout: "NHWC" },
    [
      [
        [
          [255, 128, 0],
          [0, 0, 255],
        ],
      ],
    ],
  ],
  [
    "without a batch",
    { layout: "NHWC", rank: 3 },
    [
      [
        [255, 128, 0],
        [0, 0, 255],
      ],
    ],
  ],
  [
    "blue first",
    { order: "BGR", layout: "NHWC", rank: 3 },
    [
      [
        [0, 128, 255],
        [255, 0, 0],
      ],
    ],
  ],
  [
    "opacity",
    { channels: 4, layout: "NHWC", rank: 3 },
    [
      [
        [255, 128, 0, 255],
        [0, 0, 255, 128],
      ],
    ],
  ],
  ["brightness as Pillow's", { channels: 1, rank: 3 }, [[[151, 29]]]],
  ["0 to 1 with six digits", { scale: "0-1", rank: 3 }, [[[1, 0]], [[0.501961, 0]], [[0, 1]]]],
  [
    "mean and deviation by channel",
    { scale: "standard", mean: [0.5, 0.5, 0], deviation: [0.25, 0.5, 1], rank: 3 },
    [[[2, -2]], [[0.00392157, -1]], [[0, 1]]],
  ],
])("%s", async (_, members, value) => {
  expect((await prepared(PIXELS, { ...HOW, ...members })).value).toEqual(value);
});

it("the channels are described by the numbers that are sent", async () => {
  const { channels } = await prepared(PIXELS, { ...HOW, scale: "0-1" });
  expect(channels).toEqual([
    { name: "R", min: 0, mean: 0.5, max: 1 },
    { name: "G", min: 0, mean: 0.501961 / 2, max: 0.501961 },
    { name: "B", min: 0, mean: 0.5, max: 1 },
  ]);
});

it("the picture shows the channels in the order of the tensor", async () => {
  const { picture } = await prepared(PIXELS, { ...HOW, order: "BGR" });
  expect([...picture]).toEqual([0, 128, 255, 255, 255, 0, 0, 255]);
  const grey = await prepared(PIXELS, { ...HOW, channels: 1 });
  expect([...grey.picture]).toEqual([151, 151, 151, 255, 29, 29, 29, 255]);
});

it.each<Preparation["scale"]>(["0-255", "0-1", "standard"])(
  "a body of the scale %s is not larger than estimated",
  async (scale) => {
    const pixels = Uint8ClampedArray.from({ length: 16 * 16 * 4 }, (_, at) => (at * 7) % 256);
    const how = {
      ...HOW,
      width: 16,
      height: 16,
      scale,
      mean: [0.485, 0.456, 0.406],
      deviation: [0.229, 0.224, 0.225],
    };
    const { value } = await prepared(pixels, how);
    expect(JSON.stringify(value).length).toBeLessThan(bodyBytesOf(how) * 1.3);
  },
);
