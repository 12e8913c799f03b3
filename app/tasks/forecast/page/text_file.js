// A chosen file as text, whatever it is encoded in; or a sentence on why it is none.

import { CsvProblem } from "./csv.js";

const starts = (bytes, ...first) => first.every((one, at) => bytes[at] === one);

/** The byte order mark that a file begins with, as an encoding's name. */
function marked(bytes) {
  if (starts(bytes, 0xff, 0xfe)) return "UTF-16LE";
  return starts(bytes, 0xfe, 0xff) ? "UTF-16BE" : null;
}

function decoded(bytes, encoding) {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes);
  } catch {
    return null;
  }
}

/**
 * Read a file.
 *
 * @returns {Promise<{text: string, encoding: string|null}>} encoding: of the file, as iconv calls it; null for UTF-8
 */
export async function readText(file) {
  const bytes = new Uint8Array(await file.arrayBuffer());
  if (starts(bytes, 0x50, 0x4b) || starts(bytes, 0xd0, 0xcf, 0x11, 0xe0)) {
    throw new CsvProblem("It is a spreadsheet or an archive, not a text. Save the sheet as CSV, and choose that file.");
  }
  const encoding = marked(bytes) ?? "UTF-8";
  const text = decoded(bytes, encoding);
  if (text !== null && !text.includes("\0")) return { text, encoding: encoding === "UTF-8" ? null : encoding };
  // What Windows' programs write in western Europe; Latin-1 is a part of it. The letters that it lacks are control characters.
  const western = text === null ? decoded(bytes, "windows-1252") : null;
  if (western === null || /[\0-\x08\x0e-\x1f\x7f-\x9f]/.test(western)) {
    throw new CsvProblem("It is not a text in UTF-8, UTF-16 or Latin-1. Save it as CSV in UTF-8.");
  }
  return { text: western, encoding: "WINDOWS-1252" };
}
