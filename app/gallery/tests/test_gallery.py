from __future__ import annotations

import mimetypes
import struct
import threading
import zlib
from io import BytesIO
from unittest import mock

from django.core.files.storage import InMemoryStorage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, TestCase
from django.urls import reverse
from PIL import Image

from accounts.models import User
from gallery import images
from gallery.images import check_image
from gallery.models import Picture

UPLOAD = "/gallery/upload/"


def picture(
    name: str = "a.jpg", size: tuple[int, int] = (1000, 500), kind: str = "JPEG", **options
) -> SimpleUploadedFile:
    buffer = BytesIO()
    Image.new("RGB", size, "teal").save(buffer, kind, **options)
    return SimpleUploadedFile(name, buffer.getvalue())


def bomb(width: int, height: int) -> bytes:
    """A PNG of 100 bytes that says it is `width` by `height` pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")


def stored_files() -> list[str]:
    if not default_storage.exists("gallery"):
        return []
    days, _ = default_storage.listdir("gallery")
    return [f"gallery/{day}/{name}" for day in days for name in default_storage.listdir(f"gallery/{day}")[1]]


class GalleryTestCase(TestCase):
    def setUp(self) -> None:
        self.user = User.objects.create_user("ada@example.org", "a long password")
        self.client.force_login(self.user)
        self.addCleanup(lambda: [default_storage.delete(name) for name in stored_files()])

    def upload(self, *files: SimpleUploadedFile, caption: str = ""):
        return self.client.post(UPLOAD, {"images": files, "caption": caption}, follow=True)

    def assertRefused(self, response, *errors: str) -> None:
        self.assertEqual(response.context["form"].errors["images"], list(errors))
        self.assertEqual(Picture.objects.count(), 0)
        self.assertEqual(stored_files(), [])


class UploadTests(GalleryTestCase):
    def test_three_pictures_at_once(self) -> None:
        response = self.upload(
            picture("a.jpg"), picture("b.png", kind="PNG"), picture("c.webp", kind="WEBP"), caption="Holiday"
        )
        self.assertContains(response, "3 pictures added.")
        self.assertEqual(response.content.count(b'<img src="/media/gallery/'), 3)
        self.assertEqual(
            sorted((p.original_name, p.caption, p.uploaded_by) for p in Picture.objects.all()),
            [
                ("a.jpg", "Holiday", self.user),
                ("b.png", "Holiday", self.user),
                ("c.webp", "Holiday", self.user),
            ],
        )
        self.assertEqual(len(stored_files()), 6)

    def test_original_is_kept_unchanged_under_a_name_that_cannot_be_guessed(self) -> None:
        upload = picture("../../holiday plan.JPEG")
        self.upload(upload)
        saved = Picture.objects.get()
        upload.seek(0)
        self.assertEqual(saved.image.read(), upload.read())
        self.assertRegex(saved.image.name, r"^gallery/\d{8}/[0-9a-f]{32}\.jpg$")
        self.assertEqual(saved.original_name, "holiday plan.JPEG")

    def test_extension_comes_from_the_content(self) -> None:
        self.upload(picture("page.html", kind="PNG"))
        self.assertTrue(Picture.objects.get().image.name.endswith(".png"))

    def test_nothing_chosen(self) -> None:
        self.assertRefused(self.upload(), "Choose at least one picture.")

    def test_everything_wrong_is_named_and_nothing_is_saved(self) -> None:
        response = self.upload(
            SimpleUploadedFile("notes.txt", b"not a picture"), picture(), SimpleUploadedFile("empty.png", b"")
        )
        self.assertRefused(
            response,
            "“notes.txt” is not a picture that can be read. JPEG, PNG, WebP and GIF are taken.",
            "“empty.png” is empty.",
        )

    def test_types_that_browsers_do_not_show_or_that_carry_scripts(self) -> None:
        svg = SimpleUploadedFile("x.png", b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>')
        message = "“{}” is not a picture that can be read. JPEG, PNG, WebP and GIF are taken."
        response = self.upload(svg, picture("x.tiff", kind="TIFF"))
        self.assertRefused(response, message.format("x.png"), message.format("x.tiff"))

    def test_page_in_a_picture_is_stored_as_a_picture(self) -> None:
        page = b"<!doctype html><script>alert(1)</script>"
        self.upload(
            SimpleUploadedFile("page.html", picture(kind="GIF").read() + page, content_type="text/html")
        )
        name = Picture.objects.get().image.name
        self.assertTrue(name.endswith(".gif"), name)
        self.assertEqual(mimetypes.guess_type(name), ("image/gif", None))

    def test_more_files_than_a_form_may_have_are_not_read(self) -> None:
        files = [SimpleUploadedFile(f"{n}.jpg", b"x") for n in range(101)]
        self.assertEqual(self.upload(*files).status_code, 400)
        self.assertFalse(Picture.objects.exists())

    def test_picture_that_breaks_off(self) -> None:
        whole = picture(size=(400, 400), kind="PNG", compress_level=0).read()
        response = self.upload(SimpleUploadedFile("half.png", whole[: len(whole) // 2]))
        self.assertRefused(
            response, "“half.png” is not a picture that can be read. JPEG, PNG, WebP and GIF are taken."
        )

    def test_file_too_large(self) -> None:
        large = SimpleUploadedFile("large.jpg", picture().read() + b"\0" * images.MAX_FILE_BYTES)
        self.assertRefused(self.upload(large), "“large.jpg” is too large: 10.0\xa0MB, at most 10 MB.")

    def test_too_much_together(self) -> None:
        with mock.patch("gallery.forms.MAX_UPLOAD_BYTES", 1024 * 1024):
            parts = [SimpleUploadedFile(f"{n}.jpg", b"\0" * 600 * 1024) for n in range(2)]
            self.assertRefused(self.upload(*parts), "Too much at once: 1.2\xa0MB, at most 1 MB together.")

    def test_too_many(self) -> None:
        files = [picture(f"{n}.jpg", (10, 10)) for n in range(11)]
        self.assertRefused(self.upload(*files), "Too many pictures: 11, at most 10 at once.")

    def test_small_file_of_too_many_pixels_is_refused_before_it_is_unpacked(self) -> None:
        for size in ((5_000, 5_001), (60_000, 60_000)):  # above our limit; above the one where Pillow raises
            with self.subTest(size=size), mock.patch("gallery.images._make_thumbnail") as unpack:
                response = self.upload(SimpleUploadedFile("bomb.png", bomb(*size)))
                self.assertRefused(response, "“bomb.png” has too many pixels: at most 25 million are taken.")
                unpack.assert_not_called()

    def test_a_kind_that_takes_more_memory_may_have_fewer_pixels(self) -> None:
        upload = picture("large.webp", (4_000, 3_126), "WEBP")
        self.assertRefused(
            self.upload(upload), "“large.webp” has too many pixels: at most 12.5 million are taken."
        )

    def test_upload_is_not_read_while_others_fill_the_memory(self) -> None:
        with (
            mock.patch("gallery.views._uploads", threading.BoundedSemaphore(1)) as uploads,
            mock.patch("gallery.views._BUSY_SECONDS", 0),
            uploads,
            mock.patch("django.http.request.HttpRequest.parse_file_upload") as read,
        ):
            response = self.upload(picture())
            self.assertContains(response, "Others are uploading just now.", status_code=503)
            read.assert_not_called()
        self.assertContains(self.upload(picture()), "1 picture added.")

    def test_form_without_a_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.user)
        self.assertEqual(client.post(UPLOAD, {"images": [picture()]}).status_code, 403)
        self.assertEqual(stored_files(), [])

    def test_when_one_cannot_be_saved_nothing_is_left(self) -> None:
        checked = [check_image(picture("a.jpg")), check_image(picture("b.jpg"))]
        save, saved = InMemoryStorage.save, []

        def save_three(storage: InMemoryStorage, name: str, *args, **kwargs) -> str:
            if len(saved) == 3:
                raise OSError("the bucket is gone")
            saved.append(name)
            return save(storage, name, *args, **kwargs)

        with (
            mock.patch.object(InMemoryStorage, "save", save_three),
            self.assertRaisesMessage(OSError, "the bucket is gone"),
        ):
            Picture.objects.add(checked, uploaded_by=self.user)
        self.assertEqual((Picture.objects.count(), stored_files()), (0, []))

    def test_visitor_is_asked_to_log_in(self) -> None:
        self.client.logout()
        self.assertRedirects(self.client.post(UPLOAD), f"{reverse('login')}?next={UPLOAD}")


class ThumbnailTests(TestCase):
    def thumbnail(self, upload: SimpleUploadedFile) -> Image.Image:
        return Image.open(check_image(upload).thumbnail)

    def test_fits_a_square_and_keeps_its_shape(self) -> None:
        small = self.thumbnail(picture(size=(2000, 1000)))
        self.assertEqual((small.format, small.size), ("WEBP", (640, 320)))

    def test_small_picture_is_not_blown_up(self) -> None:
        self.assertEqual(self.thumbnail(picture(size=(20, 10))).size, (20, 10))

    def test_is_upright_and_tells_nothing_about_the_camera(self) -> None:
        exif = Image.Exif()
        exif[0x0112] = 6  # Orientation: turn by 90 degrees
        exif[0x010F] = "A camera"
        small = self.thumbnail(picture(size=(1000, 500), exif=exif))
        self.assertEqual(small.size, (320, 640))
        self.assertEqual(dict(small.getexif()), {})

    def test_keeps_what_can_be_seen_through(self) -> None:
        buffer = BytesIO()
        Image.new("RGBA", (8, 8), (0, 128, 128, 50)).save(buffer, "PNG")
        small = self.thumbnail(SimpleUploadedFile("a.png", buffer.getvalue()))
        self.assertEqual((small.mode, small.getpixel((4, 4))[3]), ("RGBA", 50))

    def test_jpeg_with_a_second_picture_inside(self) -> None:
        buffer = BytesIO()
        second = Image.new("RGB", (80, 40))
        Image.new("RGB", (80, 40)).save(buffer, "MPO", save_all=True, append_images=[second])
        checked = check_image(SimpleUploadedFile("a.jpg", buffer.getvalue()))
        self.assertEqual((checked.extension, Image.open(checked.thumbnail).size), (".jpg", (80, 40)))

    def test_sixteen_bits_of_grey(self) -> None:
        buffer = BytesIO()
        Image.new("I;16", (1300, 700), 0x8000).save(buffer, "PNG")
        small = self.thumbnail(SimpleUploadedFile("scan.png", buffer.getvalue()))
        self.assertEqual(small.size, (640, 345))
        self.assertAlmostEqual(small.getpixel((100, 100))[0], 0x80, delta=2)

    def test_other_colour_modes(self) -> None:
        for kind, mode in (("JPEG", "CMYK"), ("JPEG", "L"), ("PNG", "P"), ("PNG", "I;16"), ("GIF", "P")):
            with self.subTest(kind=kind, mode=mode):
                buffer = BytesIO()
                Image.new(mode, (8, 8)).save(buffer, kind)
                self.assertEqual(self.thumbnail(SimpleUploadedFile("a", buffer.getvalue())).mode, "RGB")


class DeletionTests(GalleryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.upload(picture("a.jpg"), picture("b.jpg"))
        self.first, self.second = Picture.objects.order_by("pk")
        self.addCleanup(Picture.objects.all().delete)

    def assertGone(self, *pictures: Picture) -> None:
        left = [name for p in Picture.objects.all() for name in (p.image.name, p.thumbnail.name)]
        self.assertEqual(sorted(stored_files()), sorted(left))
        for p in pictures:
            self.assertFalse(Picture.objects.filter(pk=p.pk).exists())

    def test_page_deletes_the_row_and_both_files(self) -> None:
        url = reverse("gallery:delete", args=[self.first.pk])
        self.assertContains(self.client.get(url), "Delete this picture?")
        with self.captureOnCommitCallbacks(execute=True):
            response = self.client.post(url, follow=True)
        self.assertContains(response, "The picture is deleted.")
        self.assertGone(self.first)

    def test_deleting_in_bulk(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            Picture.objects.all().delete()
        self.assertGone(self.first, self.second)

    def test_admin_action(self) -> None:
        self.client.force_login(User.objects.create_superuser("root@example.org", "a long password"))
        form = {
            "action": "delete_selected",
            "_selected_action": [self.first.pk, self.second.pk],
            "post": "yes",
        }
        with self.captureOnCommitCallbacks(execute=True):
            self.client.post(reverse("admin:gallery_picture_changelist"), form)
        self.assertGone(self.first, self.second)

    def test_files_stay_when_the_deletion_is_rolled_back(self) -> None:
        with self.captureOnCommitCallbacks():  # recorded, not run: as in a transaction that fails
            self.first.delete()
        self.assertEqual(len(stored_files()), 4)

    def test_file_that_cannot_be_deleted_is_logged_and_the_other_goes(self) -> None:
        delete = InMemoryStorage.delete

        def fail_on_image(storage: InMemoryStorage, name: str) -> None:
            if name == self.first.image.name:
                raise OSError("no answer")
            delete(storage, name)

        with (
            mock.patch.object(InMemoryStorage, "delete", fail_on_image),
            self.assertLogs("gallery.models", "ERROR") as logs,
            self.captureOnCommitCallbacks(execute=True),
        ):
            self.first.delete()
        self.assertEqual(
            logs.records[0].getMessage(),
            f"The file {self.first.image.name} could not be deleted and is left over.",
        )
        self.assertEqual(len(stored_files()), 3)

    def test_pictures_outlive_whoever_uploaded_them(self) -> None:
        self.user.delete()
        self.first.refresh_from_db()
        self.assertIsNone(self.first.uploaded_by)


class PermissionTests(GalleryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.upload(picture(), caption="Mine")
        self.picture = Picture.objects.get()
        self.urls = [reverse(f"gallery:{name}", args=[self.picture.pk]) for name in ("caption", "delete")]

    def test_everybody_may_look(self) -> None:
        self.client.logout()
        self.assertContains(self.client.get(reverse("gallery:index")), 'alt="Mine"')
        response = self.client.get(self.picture.get_absolute_url())
        self.assertContains(response, "Mine")
        self.assertNotContains(response, "Delete")

    def test_owner_changes_the_caption(self) -> None:
        response = self.client.post(self.urls[0], {"caption": "Ours"}, follow=True)
        self.assertContains(response, "The caption is saved.")
        self.assertContains(response, "Ours")

    def test_visitors_are_asked_to_log_in(self) -> None:
        self.client.logout()
        for url in self.urls:
            self.assertRedirects(self.client.post(url), f"{reverse('login')}?next={url}")

    def test_others_may_neither_caption_nor_delete(self) -> None:
        self.client.force_login(User.objects.create_user("eve@example.org", "a long password"))
        for url in self.urls:
            self.assertContains(self.client.post(url), "That is not yours to open", status_code=403)
        self.assertEqual(Picture.objects.get().caption, "Mine")

    def test_who_may_delete_any_picture_may_delete_this_one(self) -> None:
        self.client.force_login(User.objects.create_superuser("root@example.org", "a long password"))
        self.assertRedirects(self.client.post(self.urls[1]), reverse("gallery:index"))

    def test_empty_gallery_says_what_to_do(self) -> None:
        Picture.objects.all().delete()
        self.assertContains(self.client.get(reverse("gallery:index")), "Upload the first ones")
