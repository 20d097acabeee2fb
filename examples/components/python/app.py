import json

from componentize_py_types import Err
from wit_world.exports import Texts as Base
from wit_world.exports.texts import Summary


class Texts(Base):
    def words(self, text):
        return sorted(set(text.split()))

    def summarize(self, text):
        words = text.split()
        return Summary(len(words), max(words, key=len)) if words else None

    def json_keys(self, text):
        try:
            return list(json.loads(text).keys())
        except ValueError as error:
            raise Err(str(error))
