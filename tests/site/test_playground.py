"The playground measures what the library measures, sends nothing, and survives what is dropped"

import base64
import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from stal.core.degradations import jpeg
from stal.core.images import bytes_of, read_image
from stal.core.photographs import PHOTOGRAPHS, centre_crop
from stal.site.playground import SIZES, example_images
from stal.spectrum.profile import power_law_field, radial_profile
from stal.spectrum.tail import uplift


def saved(image, kind="PNG", **options):
    "Bytes of a file that holds an image, [3, H, W], uint8"
    buffer = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(buffer, kind, **options)
    return buffer.getvalue()


def ten_images():
    scenes = {p.name: bytes_of(p.image()) for p in PHOTOGRAPHS if p.scene}
    fields = power_law_field(128, 2.0, 1, torch.Generator().manual_seed(0))
    field = bytes_of(fields.clamp(0, 1)).expand(1, 3, -1, -1)[0]
    small = bytes_of(centre_crop(scenes["cat"].float() / 255, 101))
    transparent = io.BytesIO()
    rgba = torch.cat([small, torch.full((1, 101, 101), 77, dtype=torch.uint8)])
    Image.fromarray(rgba.permute(1, 2, 0).numpy()).save(transparent, "PNG")
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "astronaut.png": saved(scenes["astronaut"]),
        "cat.jpg": saved(scenes["cat"], "JPEG", quality=95),
        "china.jpg": saved(scenes["china"], "JPEG", quality=60),
        "rocket.webp": saved(scenes["rocket"], "WEBP", lossless=True),
        "superresolution.png": saved(example_images()["superresolution"]),
        "vq.png": saved(example_images()["vq"]),
        "field, 128.png": saved(field),
        "small, 101.png": saved(small),
        "transparent.png": transparent.getvalue(),
        "turned.jpg": saved(scenes["coffee"], "JPEG", quality=90, exif=turned),
    }


IMAGES = ten_images()
MEASURE = """async text => {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return await window.stalMeasure(new Blob([bytes]));
}"""


def shown(page):
    page.wait_for_selector('[data-part="results"]:not([hidden])')
    return page


@pytest.fixture
def playground(open_page):
    return shown(open_page("playground.html"))


def said(page):
    return page.locator('[data-part="message"]').inner_text()


def drop(page, name, content, kind=""):
    file = {"name": name, "mimeType": kind, "buffer": content}
    page.locator('[data-part="file"]').set_input_files(file)
    page.wait_for_function(
        "name => document.querySelector('[data-part=message]').textContent.includes(name)"
        " && !document.querySelector('[data-part=message]').textContent.startsWith('Reading')",
        arg=name,
    )


def test_it_measures_what_the_library_measures(playground, tmp_path):
    for name, content in IMAGES.items():
        path = tmp_path / name
        path.write_bytes(content)
        image = read_image(path)
        side = next(size for size in SIZES if size <= min(image.shape[1:]))
        profile = radial_profile(centre_crop(image, side)[None], SIZES[side])[0, 0].double()
        found = playground.evaluate(MEASURE, base64.b64encode(content).decode())
        assert found["side"] == side, name
        assert np.abs(np.array(found["profile"]) - profile.numpy()).max() < 1e-3, name
        assert abs(found["U"] - uplift(profile).item()) < 1e-3, name


def test_it_judges_as_the_command_judges(playground, tmp_path):
    from typer.testing import CliRunner

    from stal.cli.main import app
    from stal.detectors.named import detectors_folder, small_in

    squares = tmp_path / "squares"
    squares.mkdir()
    found = {}
    for number, (name, content) in enumerate(IMAGES.items()):
        path = tmp_path / name
        path.write_bytes(content)
        image = read_image(path)
        side = next(size for size in SIZES if size <= min(image.shape[1:]))
        square = saved(bytes_of(centre_crop(image, side)))
        (squares / f"{number}.png").write_bytes(square)
        measured = playground.evaluate(MEASURE, base64.b64encode(content).decode())
        found[f"{number}.png"] = measured["score"]
    table = tmp_path / "verdicts.csv"
    small = small_in(detectors_folder())
    CliRunner().invoke(app, ["detect", str(squares), "--detector", small, "--csv", str(table)])
    rows = pd.read_csv(table)
    assert len(rows) == len(IMAGES)
    for row in rows.itertuples():
        assert abs(found[row.file.rsplit("/")[-1]] - row.score) < 1.5e-3, row.file


def test_the_verdict_comes_with_its_warning(playground):
    playground.wait_for_function(
        "document.querySelector('[data-part=decision]').textContent.includes('Its score is')"
    )
    words = playground.locator('[data-part="decision"]').inner_text()
    assert words.split(".")[0] in ("photograph", "unsure", "generated") and "%" not in words
    assert "collected images" in playground.locator('[data-part="expect"]').inner_text()


def test_no_request_is_made(playground):
    requests = []
    playground.on("request", lambda r: requests.append(r.url))
    drop(playground, "astronaut.png", IMAGES["astronaut.png"])
    for button in playground.locator("#playground .examples button").all():
        button.click()
        name = button.inner_text().replace("\u00ad", "")
        playground.wait_for_function(
            "name => document.querySelector('[data-part=message]').textContent"
            " === `Shown: ${name}.`",
            arg=name,
        )
    playground.locator('[data-part="quality"]').fill("60")
    playground.wait_for_timeout(300)
    sent = [url for url in requests if not url.startswith(("data:", "blob:"))]
    assert not sent


def test_no_request_could_be_made(open_page):
    page = shown(open_page("playground.html", expected="Content Security Policy"))
    sent = page.evaluate("fetch('/index.html').then(() => 'sent', () => 'blocked')")
    assert sent == "blocked"


def U(page):
    return float(page.locator('[data-part="U"]').inner_text())


def test_the_tail_goes_with_compression_and_comes_back(playground):
    playground.get_by_role("button", name="super\u00adresolution", exact=True).click()
    playground.wait_for_function(
        "document.querySelector('[data-part=message]').textContent === 'Shown: superresolution.'"
    )
    before = U(playground)
    assert before > 1 and "turns up" in playground.locator('[data-part="verdict"]').inner_text()
    playground.locator('[data-part="quality"]').fill("50")
    playground.wait_for_function(
        "Number(document.querySelector('[data-part=U]').textContent) < 0.5"
    )
    playground.get_by_role("button", name="Reset").click()
    playground.wait_for_function(
        "before => Number(document.querySelector('[data-part=U]').textContent) === before",
        arg=before,
    )


def test_a_kept_curve_stays_for_comparison(playground):
    playground.get_by_role("button", name="Keep this curve").click()
    playground.locator('[data-part="blur"]').fill("1.5")
    playground.wait_for_function(
        "document.querySelector('[data-part=verdict]').textContent.includes('tail is empty')"
    )
    assert playground.locator("svg .kept").count() == 2
    assert "photograph" in playground.locator('[data-part="kept-name"]').inner_text()
    playground.get_by_role("button", name="Drop the kept curve").click()
    assert playground.locator("svg .kept").count() == 0


def noise(height, width):
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)


def file_of(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def test_whatever_is_dropped_gets_a_sentence(playground):
    picture = Image.fromarray(noise(80, 90))
    frames = [Image.fromarray(noise(80, 90) // 2)]
    cases = {
        "words.txt": (b"no image", "cannot read it as an image"),
        "half.png": (file_of(picture, "PNG")[:900], ""),
        "empty.png": (b"", "cannot read it as an image"),
        "tiny.png": (file_of(picture.resize((40, 40)), "PNG"), "at least 64 × 64"),
        "one-colour.png": (file_of(Image.new("RGB", (80, 80)), "PNG"), "one colour only"),
        "huge.png": (file_of(Image.new("1", (12000, 11000)), "PNG"), "132 million pixels"),
        "cmyk.jpg": (file_of(picture.convert("CMYK"), "JPEG"), "Shown: cmyk.jpg"),
        "new.avif": (file_of(picture, "AVIF"), "Shown: new.avif"),
    }
    for name, (content, sentence) in cases.items():
        drop(playground, name, content)
        assert sentence in said(playground), (name, said(playground))
    moving = file_of(picture, "GIF", save_all=True, append_images=frames)
    drop(playground, "moving.gif", moving, "image/gif")
    assert "2 frames" in said(playground)
    drop(playground, "cat.jpg", IMAGES["cat.jpg"])
    assert playground.locator('[data-part="results"]').is_visible(), "the page goes on working"


def test_scaled_down_too_far(playground):
    drop(playground, "small, 101.png", IMAGES["small, 101.png"])
    playground.locator('[data-part="scale"]').fill("0.5")
    playground.wait_for_function(
        "document.querySelector('[data-part=message]').textContent.includes('fewer than 64')"
    )
    playground.locator('[data-part="scale"]').fill("1")
    playground.wait_for_selector('[data-part="results"]:not([hidden])')


def test_browser_s_jpeg_is_close_to_ours(playground):
    image = bytes_of(
        centre_crop(next(p for p in PHOTOGRAPHS if p.name == "astronaut").image(), 256)
    )
    drop(playground, "square.png", saved(image))
    playground.locator('[data-part="quality"]').fill("75")
    playground.wait_for_function(
        "document.querySelector('[data-part=quality-value]').textContent === '75'"
    )
    playground.wait_for_timeout(400)
    ours = radial_profile(jpeg(image[None], 75) / 255)[0, 0].double()
    assert abs(U(playground) - uplift(ours).item()) < 0.3
