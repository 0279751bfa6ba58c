"""What a second look at translations tells: probabilities of pieces, attention, aligned words."""

from collections.abc import Sequence
from dataclasses import replace

from seq2seq.data.segmentation import SPACE
from seq2seq.data.tokenizer import Tokenizer
from seq2seq.special import EOS, UNK
from seq2seq.translation.alignment import align_words
from seq2seq.translation.forced import Forced
from seq2seq.translation.result import TranslatedHypothesis, one_line


class Annotator:
    """Adds details to translations.

    Args:
        src: the tokenizer that the first model reads with.
        tgt: the tokenizer of the results.
        replace_unk: put source pieces in place of `<unk>`.
        keep: keep the details.
    """

    def __init__(self, src: Tokenizer, tgt: Tokenizer, *, replace_unk: bool, keep: bool) -> None:
        self.src = src
        self.tgt = tgt
        self.replace_unk = replace_unk
        self.keep = keep

    def annotate(
        self,
        src: str,
        hypotheses: Sequence[TranslatedHypothesis],
        said: Sequence[Sequence[int]],
        forced: Sequence[Forced],
    ) -> list[TranslatedHypothesis]:
        """The translations of a text with their details.

        Args:
            src: the text.
            hypotheses: its translations.
            said: their ids, with end marks where they end.
            forced: what the models say of these.
        """
        surfaces = self.src.surfaces(src)
        rows = zip(hypotheses, said, forced, strict=True)
        return [self._annotate(surfaces, *row) for row in rows]

    def _annotate(
        self,
        surfaces: Sequence[str],
        hypothesis: TranslatedHypothesis,
        said: Sequence[int],
        forced: Forced,
    ) -> TranslatedHypothesis:
        ids = said[: len(said) - (said[-1:] == [EOS])]
        weights = None if forced.weights is None else forced.weights[: len(ids)]
        words: list[str] = []
        if self.replace_unk and weights is not None and surfaces:
            # There is nothing to copy from the end mark.
            best = weights[:, :-1].argmax(axis=1)
            unknown = [place for place, i in zip(best, ids, strict=True) if i == UNK]
            words = [surfaces[place].strip(SPACE) for place in unknown]
        pieces = self.tgt.fill_unknown(ids, words)
        if words:
            hypothesis = replace(hypothesis, text=one_line(self.tgt.join(pieces)))
        if not self.keep:
            return hypothesis
        alignment = None
        if weights is not None:
            # Words are counted in the order of the text.
            down, across = (-1 if side.is_reversed else 1 for side in (self.tgt, self.src))
            alignment = align_words(
                weights[::down, :-1][:, ::across], surfaces[::across], pieces[::down]
            )
        return replace(
            hypothesis, log_probs=forced.log_probs, attention=weights, alignment=alignment
        )
