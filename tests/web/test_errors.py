from tests.support.service import Service
from whisper_service import db
from whisper_service.tables import User


def test_errors_of_the_router_are_plain_text(service: Service) -> None:
    assert service.anyone.error("GET", "/nowhere", 404) == "Not Found"
    response = service.anyone.call("PUT", "/user/login", expect=405)
    assert response.text == "Method Not Allowed"
    assert set(response.headers["Allow"].split(", ")) == {"POST"}
    assert response.content_type == "text/plain; charset=utf-8"


def test_a_large_body_is_refused(service: Service) -> None:
    body = {"username": "x" * 70_000}
    message = service.anyone.error("POST", "/user/login", 413, body)
    assert message == "Request Entity Too Large"


def test_an_unexpected_failure_tells_nothing(service: Service) -> None:
    service.client.application.testing = False
    assert service.anyone.get("/health") == {"status": "ok"}
    db.database.execute_sql("ALTER TABLE user RENAME TO hidden")
    assert service.anyone.error("GET", "/health", 500) == "Internal server error"
    body = {"username": "ann", "password": "x"}
    assert service.anyone.error("POST", "/user/login", 500, body) == "Internal server error"
    db.database.execute_sql("ALTER TABLE hidden RENAME TO user")
    assert User.select().count() == 0
