"""docs/log-format.md shows bytes: those of tests/golden, or the page and the code have parted."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```hex (\S+) (\d+)\n(.*?)^```$", re.M | re.S)
# Every structure that is published: a file of golden bytes and the titles of what it shows.
SHOWN = {
    "tests/golden/identity/walrus.hex": ["magic", "shard count"],
    "tests/golden/record/one_record.hex": ["base offset", "record count"],
    "tests/golden/journal/two_groups.hex": ["sequence", "synced_to", "payload length"],
    "tests/golden/manifest/two_streams.hex": ["generation", "extents", "producers",
                                              "state entries"],
    "tests/golden/segment/sealed.hex": ["base offset", "position of the index", "index entries"],
    "tests/golden/segment/pack.hex": ["number"],
}


def bytes_of(lines, comment):
    data = b""
    for line in lines:
        word = re.split(comment, line)[0].replace(" ", "")
        data += bytes(int(word[1:])) if word.startswith("*") else bytes.fromhex(word)
    return data


def mistakes(page):
    """What a page shows otherwise than tests/golden, or not at all."""
    found, shown = [], {}
    for path, position, text in BLOCK.findall(page):
        golden = bytes_of((SOURCE / path).read_text().splitlines(), "#")
        data = bytes_of(text.splitlines(), "  +")
        at = int(position)
        if not data or golden[at:at + len(data)] != data:
            found.append(f"{path} at {at}: other bytes")
        for line in text.splitlines():
            parts = re.split("  +", line)
            if len(parts) > 1:
                if int(parts[1]) != at:
                    found.append(f"{path}: {line}: position {at}")
            at += len(bytes_of([line], "  +"))
        shown.setdefault(path, []).append(text)
    for path, titles in SHOWN.items():
        texts = "".join(shown.get(path, []))
        found += [f"{path}: {title} is not shown" for title in titles if title not in texts]
    return found


class LogFormat(unittest.TestCase):
    def setUp(self):
        self.page = (SOURCE / "docs/log-format.md").read_text()

    def test_the_page_shows_the_golden_bytes(self):
        self.assertEqual(mistakes(self.page), [])
        self.assertGreaterEqual(len(BLOCK.findall(self.page)), 8)

    def test_another_digit_is_found(self):
        for digits in ("57475250", "57414c5255534d31", "68656c6c6f"):
            self.assertIn(digits, self.page)
            self.assertNotEqual(mistakes(self.page.replace(digits, "00" + digits[2:], 1)), [])

    def test_another_position_is_found(self):
        self.assertNotEqual(mistakes(self.page.replace(" 8196 ", " 8197 ", 1)), [])

    def test_a_missing_structure_is_found(self):
        without = BLOCK.sub("", self.page, count=1)
        self.assertNotEqual(mistakes(without), [])


if __name__ == "__main__":
    unittest.main()
