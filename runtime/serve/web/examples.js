/** Prompts to begin with: some of those that the default bundle was trained to draw. */

export const EXAMPLES = [
  "four red triangles",
  "two yellow circles",
  "three orange stars on a striped black background",
  "a purple cross above an orange square on a dotted grey background",
  "the word snow in red letters at the top on a dotted white background",
];
