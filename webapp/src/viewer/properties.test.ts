import { expect, test } from "vitest";

import { readableName, readableProperties, readableValue } from "./properties";

for (const [key, want] of [
  ["philips.DICOM_MANUFACTURERS_MODEL_NAME", "Manufacturers model name"],
  ["philips.PIM_DP_UFS_INTERFACE_VERSION", "UFS interface version"],
  ["philips.DICOM_ACQUISITION_DATETIME", "Acquisition date and time"],
  ["tiff.Software", "Software"],
  ["tiff.ImageDescription", "Image description"],
  ["aperio.AppMag", "App mag"],
] as const) {
  test(`name of ${key}: ${want}`, () => expect(readableName(key)).toBe(want));
}

for (const [key, value, want] of [
  ["philips.DICOM_ACQUISITION_DATETIME", "20160718122300.000000", "2016-07-18 12:23:00"],
  ["philips.DICOM_DATE_OF_LAST_CALIBRATION", '"20160718"', "2016-07-18"],
  ["philips.DICOM_TIME_OF_LAST_CALIBRATION", '"112233"', "11:22:33"],
  ["philips.DICOM_SOFTWARE_VERSIONS", '"1.6.6186" "20150402_R48" "4.0.3"', "1.6.6186, 20150402_R48, 4.0.3"],
  ["philips.PIIM_DP_SCANNER_RACK_NUMBER", "20160718", "20160718"],
  ["tiff.Software", 'a "quoted" word', 'a "quoted" word'],
  ["tiff.Software", "", ""],
] as const) {
  test(`value of ${key} ${value}: ${want}`, () => expect(readableValue(key, value)).toBe(want));
}

test("properties are sorted by their readable names", () => {
  expect(readableProperties({ "tiff.Zebra": "1", "philips.DICOM_APPLE": "2" }).map((p) => p.name)).toEqual(["Apple", "Zebra"]);
});
