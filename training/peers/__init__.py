"""The other systems of the paper's table: language models that answer with boxes, and a segmenter that draws them.

    python -m training.peers --system training/configs/peers/qwen2.5-vl-72b.yaml --base-url http://127.0.0.1:8000/v1 \\
        --manifest MANIFEST --questions questions.jsonl --answers qwen.jsonl

Whoever serves the model (vLLM, llama.cpp, LM Studio, ...) answers OpenAI's chat completions; nothing is fetched here.
"""
